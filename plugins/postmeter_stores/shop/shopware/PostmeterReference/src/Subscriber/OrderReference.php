<?php declare(strict_types=1);

namespace PostmeterReference\Subscriber;

use Shopware\Core\Checkout\Order\OrderEntity;
use Shopware\Core\Content\MailTemplate\Service\Event\MailBeforeSentEvent;
use Shopware\Core\Content\MailTemplate\Service\Event\MailBeforeValidateEvent;
use Symfony\Component\EventDispatcher\EventSubscriberInterface;

/**
 * Only the first event knows the order, and only the second one has the mail: the number goes along in the mail's data.
 */
class OrderReference implements EventSubscriberInterface
{
    private const KEY = 'postmeterReference';
    private const FIELD = 'X-Postmeter-Ref';

    public static function getSubscribedEvents(): array
    {
        return [
            MailBeforeValidateEvent::class => 'keepNumber',
            MailBeforeSentEvent::class => 'addField',
        ];
    }

    public function keepNumber(MailBeforeValidateEvent $event): void
    {
        $order = $event->getTemplateData()['order'] ?? null;
        if (!$order instanceof OrderEntity) {
            return;
        }
        $number = preg_replace('~[^A-Za-z0-9._/+-]~', '', (string) $order->getOrderNumber());
        if ($number !== '') {
            $event->addData(self::KEY, 'order:' . $number);
        }
    }

    public function addField(MailBeforeSentEvent $event): void
    {
        $reference = $event->getData()[self::KEY] ?? null;
        $headers = $event->getMessage()->getHeaders();
        if (is_string($reference) && !$headers->has(self::FIELD)) {
            $headers->addTextHeader(self::FIELD, $reference);
        }
    }
}
