"""The files for shops: PHP that is right, and that adds the header field which the relay reads."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

import postmeter_stores
from postmeter_stores.reference import order_of
from support.foreign import need_program

SHOP = Path(postmeter_stores.__file__).parent / "shop"
MU_PLUGIN = SHOP / "woocommerce" / "postmeter-reference.php"
SHOPWARE = SHOP / "shopware" / "PostmeterReference"
WORDPRESS = """
define('ABSPATH', '/');
class WC_Order { function __construct(private $number) {} function get_order_number() { return $this->number; } }
function add_filter($name, $function, $priority, $arguments) { global $added; $added = func_get_args(); }
"""
SHOPWARE_CLASSES = r"""
namespace Symfony\Component\EventDispatcher { interface EventSubscriberInterface {} }
namespace Shopware\Core\Checkout\Order {
    class OrderEntity { function __construct(private $n) {} function getOrderNumber() { return $this->n; } }
}
namespace Shopware\Core\Content\MailTemplate\Service\Event {
    class MailBeforeValidateEvent {
        public array $data = [];
        function __construct(private array $templateData) {}
        function getTemplateData() { return $this->templateData; }
        function addData($key, $value) { $this->data[$key] = $value; }
    }
    class MailBeforeSentEvent {
        function __construct(private array $data, private $message) {}
        function getData() { return $this->data; }
        function getMessage() { return $this->message; }
    }
}
namespace {
    class Message {
        public array $fields = [];
        function getHeaders() { return $this; }
        function has($name) { return isset($this->fields[$name]); }
        function addTextHeader($name, $value) { $this->fields[$name] = $value; }
    }
"""


def php(code: str) -> object:
    """What a script prints as JSON; nothing else may be printed."""
    done = subprocess.run(
        [need_program("php"), "-d", "error_reporting=-1", "-d", "display_errors=stderr"],
        input=f"<?php\n{code}",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", sorted(SHOP.rglob("*.php")), ids=lambda path: path.name)
def test_a_file_is_right_php(path: Path) -> None:
    done = subprocess.run([need_program("php"), "-l", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def woocommerce(headers: str, thing: str) -> object:
    """What the filter makes of the header fields (both in PHP)."""
    return php(f"{WORDPRESS} require '{MU_PLUGIN}'; echo json_encode(postmeter_reference({headers}, 'x', {thing}));")


def test_woocommerce_adds_the_number_of_the_order() -> None:
    text = "Content-Type: text/html\r\nReply-to: Shop <a@shop.example>\r\n"
    field = "X-Postmeter-Ref: order:2024-0815"
    assert woocommerce(json.dumps(text), "new WC_Order('2024-0815')") == f"{text}{field}\r\n"
    assert woocommerce(json.dumps(text.rstrip()), "new WC_Order('2024-0815')") == f"{text}{field}\r\n"
    assert woocommerce("['A: b']", "new WC_Order('2024-0815')") == ["A: b", field]
    assert woocommerce("''", 'new WC_Order("#12\\r\\nBcc: 3")') == "X-Postmeter-Ref: order:12Bcc3\r\n"
    assert order_of(field.partition(": ")[2]) == "2024-0815"


def test_woocommerce_leaves_other_mail_alone() -> None:
    for thing in ("null", "new stdClass()", "'x'", "new WC_Order('')"):
        assert woocommerce("'A: b'", thing) == "A: b"


def test_woocommerce_is_asked_with_the_order() -> None:
    added = php(f"{WORDPRESS} require '{MU_PLUGIN}'; echo json_encode($added);")
    assert added == ["woocommerce_email_headers", "postmeter_reference", 20, 3]


def shopware(order: str) -> object:
    """The fields that the subscriber adds to a mail about it (in PHP), events as Shopware dispatches them."""
    return php(
        f"""{SHOPWARE_CLASSES}
    use Shopware\\Core\\Content\\MailTemplate\\Service\\Event\\MailBeforeSentEvent;
    use Shopware\\Core\\Content\\MailTemplate\\Service\\Event\\MailBeforeValidateEvent;
    require '{SHOPWARE}/src/Subscriber/OrderReference.php';
    $subscriber = new PostmeterReference\\Subscriber\\OrderReference();
    $methods = $subscriber::getSubscribedEvents();
    $first = new MailBeforeValidateEvent({order});
    $subscriber->{{$methods[get_class($first)]}}($first);
    $second = new MailBeforeSentEvent($first->data, new Message());
    foreach ([1, 2] as $turn) $subscriber->{{$methods[get_class($second)]}}($second);
    echo json_encode($second->getMessage()->fields);
}}"""
    )


def test_shopware_adds_the_number_of_the_order() -> None:
    order = "new Shopware\\Core\\Checkout\\Order\\OrderEntity('10023')"
    assert shopware(f"['order' => {order}]") == {"X-Postmeter-Ref": "order:10023"}


def test_shopware_leaves_other_mail_alone() -> None:
    for data in ("[]", "['order' => null]", "['order' => 'x']", "['customer' => 1]"):
        assert shopware(data) == []


def test_shopware_finds_the_plugin_and_its_subscriber() -> None:
    composer = json.loads((SHOPWARE / "composer.json").read_text())
    assert (composer["type"], composer["autoload"]["psr-4"]) == (
        "shopware-platform-plugin",
        {"PostmeterReference\\": "src/"},
    )
    assert composer["extra"]["shopware-plugin-class"] == "PostmeterReference\\PostmeterReference"
    services = ElementTree.parse(SHOPWARE / "src" / "Resources" / "config" / "services.xml")
    (service,) = services.iter("{http://symfony.com/schema/dic/services}service")
    assert service.attrib["id"] == "PostmeterReference\\Subscriber\\OrderReference"
