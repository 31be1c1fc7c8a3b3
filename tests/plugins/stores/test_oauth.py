"""Signatures of OAuth 1.0a: the examples of RFC 5849, and what another implementation says."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from oauthlib.oauth1.rfc5849 import signature as other

from postmeter_stores.oauth import authorization, base_string, encode, signature

CLIENT, SECRET = ("oauth_consumer_key", "dpf43f3p2l4k3l03"), "kd94hf93k423kf44"
SHA1 = ("oauth_signature_method", "HMAC-SHA1")


def test_the_base_string_of_the_rfc() -> None:
    """RFC 5849, 3.4.1.1: a request with a query and a form."""
    parameters = [("b5", "=%3D"), ("a3", "a"), ("c@", ""), ("a2", "r b"), ("c2", ""), ("a3", "2 q")]
    parameters += [("oauth_consumer_key", "9djdj82h48djs9d2"), ("oauth_token", "kkk9d7dh3k39sjv7"), SHA1]
    parameters += [("oauth_timestamp", "137131201"), ("oauth_nonce", "7d8f3e4a")]
    assert base_string("POST", "http://EXAMPLE.COM:80/request", parameters) == (
        "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q"
        "%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_"
        "key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_m"
        "ethod%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk"
        "9d7dh3k39sjv7"
    )


def test_the_signature_of_the_rfc_without_a_token() -> None:
    """RFC 5849, 1.2: the temporary credentials."""
    parameters = [CLIENT, SHA1, ("oauth_timestamp", "137131200"), ("oauth_nonce", "wIjqoS")]
    parameters += [("oauth_callback", "http://printer.example.com/ready")]
    url = "https://photos.example.net/initiate"
    assert signature("POST", url, parameters, SECRET, "", "sha1") == "74KNZJeDHnMBp0EMJ9ZHt/XKycU="


def test_the_signature_of_the_rfc_with_a_temporary_token() -> None:
    """RFC 5849, 1.2: the token credentials."""
    parameters = [CLIENT, ("oauth_token", "hh5s93j4hdidpola"), SHA1, ("oauth_timestamp", "137131201")]
    parameters += [("oauth_nonce", "walatlh"), ("oauth_verifier", "hfdp7dh39dks9884")]
    signed = signature("POST", "https://photos.example.net/token", parameters, SECRET, "hdhd0244k9j7ao03", "sha1")
    assert signed == "gKgrFCywp7rO0OXSjdot/IHF7IU="


def test_the_signature_of_the_rfc_with_a_token() -> None:
    """RFC 5849, 1.2: the photograph."""
    parameters = [CLIENT, ("oauth_token", "nnch734d00sl2jdk"), SHA1, ("oauth_timestamp", "137131202")]
    parameters += [("oauth_nonce", "chapoH"), ("file", "vacation.jpg"), ("size", "original")]
    signed = signature("GET", "http://photos.example.net/photos", parameters, SECRET, "pfkkdhi9sl3r4s00", "sha1")
    assert signed == "MdpQcU8iPSUjWoN/UDMsK2sui9I="


@given(
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8))),
    st.text(max_size=9),
    st.text(max_size=9),
    st.sampled_from(
        [
            "https://shop.example/rest/V1/orders",
            "https://Shop.example:8443/a%20b",
            "http://shop.example",
            "https://[2001:db8::1]",
        ]
    ),
)
def test_another_implementation_signs_alike(pairs: list[tuple[str, str]], secret: str, token: str, url: str) -> None:
    pairs = [
        (name.encode("utf-8", "ignore").decode(), value.encode("utf-8", "ignore").decode()) for name, value in pairs
    ]
    secret, token = (text.encode("utf-8", "ignore").decode() for text in (secret, token))
    signed = signature("get", url, pairs, secret, token)
    request = SimpleNamespace(http_method="GET", uri=url, params=pairs, signature=signed)
    assert other.verify_hmac_sha256(request, secret, token)


def test_the_header_field() -> None:
    assert authorization([("oauth_token", "a b"), ("oauth_signature", "x/+=")]) == (
        'OAuth oauth_token="a%20b", oauth_signature="x%2F%2B%3D"'
    )
    assert encode("-._~ü ") == "-._~%C3%BC%20"
