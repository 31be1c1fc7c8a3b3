"""What the settings make of the way out."""

from __future__ import annotations

from postmeter.config import Settings
from postmeter.delivery.outbound import own_names
from postmeter.sections import Delivery, Server


def test_every_name_that_we_give_is_ours() -> None:
    pools = {
        "transactional": "192.0.2.1=out1.example 192.0.2.2=out2.example",
        "probation": "192.0.2.3=new.example 2001:db8::3=new.example",
    }
    settings = Settings(server=Server(hostname="relay.example"), delivery=Delivery(pools=pools))
    assert own_names(settings) == {"relay.example", "out1.example", "out2.example", "new.example"}
