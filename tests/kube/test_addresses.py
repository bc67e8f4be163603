import ipaddress
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.kube.addresses import AddressIndex

ADDRESSES = [ipaddress.ip_address(text).packed for text in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "fd00::1", "fd00::2")]
OWNERS = [b"\1a", b"\1b", b"\1c"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(OWNERS), st.booleans(), st.booleans()), max_size=40)
)
def test_the_index_is_a_count_of_owners(steps):
    """Held against a plain Counter, ordered from the start, from the middle on, and anew after a bulk load."""
    index, counts = AddressIndex(), Counter()
    for address, owner, add, forget in steps:
        if forget:
            index.forget_order()
        listed = {known for known, _ in counts}
        if add:
            counts[address, owner] += 1
            assert index.add(address, owner) is (address not in listed)
        elif counts[address, owner]:
            counts[address, owner] -= 1
            counts += Counter()
            assert index.remove(address, owner) is (address not in {known for known, _ in counts})
        for known in ADDRESSES:
            assert index.owners(known) == sorted(each for where, each in counts if where == known)
        for low in ADDRESSES:
            for high in (each for each in ADDRESSES if len(each) == len(low)):
                inside = any(low <= known <= high for known, _ in counts if len(known) == len(low))
                assert index.any_between(low, high) is inside
    for (address, owner), count in list(counts.items()):
        for _ in range(count):
            index.remove(address, owner)
    assert not index.snapshot()


def test_an_address_of_one_owner_is_kept_as_its_key_alone():
    """100,000 endpoints must be cheap: also after an address had two owners for a while."""
    index, address = AddressIndex(), ADDRESSES[0]
    for owner in OWNERS[:2]:
        index.add(address, owner)
    index.remove(address, OWNERS[0])
    assert index.snapshot() == {address: OWNERS[1]}
