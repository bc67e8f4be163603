from clusterdns.stats import Cells, Labels


def labels(qtype: int = 1, memo: bool = False) -> Labels:
    return Labels(b"\0", "udp", qtype, 0, memo)


def test_a_cell_for_each_combination():
    cells = Cells()
    first, second = cells.cell(labels(1)), cells.cell(labels(28))
    assert cells.cell(labels(1)) == first != second
    cells.counts[first] += 2
    cells.counts[second] += 3
    assert [(each.qtype, count) for each, count in zip(cells.labels, cells.counts, strict=False)] == [(1, 2), (28, 3)]


def test_totals():
    cells = Cells()
    for memo, count in ((True, 5), (False, 2)):
        cells.counts[cells.cell(labels(memo=memo))] += count
    assert (cells.total(), cells.total(memo=True), cells.total(memo=False)) == (7, 5, 2)


def test_a_client_that_asks_for_every_type_makes_no_more_than_so_many_cells():
    cells = Cells()
    for qtype in range(Cells.LIMIT + 100):
        cells.counts[cells.cell(labels(qtype))] += 1
    # The last one is for all the others
    assert len(cells.counts) == len(cells.labels) + 1 == Cells.LIMIT
    # None is lost
    assert cells.total() == Cells.LIMIT + 100


def test_who_comes_next_goes_on_with_labels_and_counts():
    memory = memoryview(bytearray(Cells.SIZE))
    before = Cells(memory)
    before.counts[before.cell(labels(28))] += 3
    after = Cells(memory)
    assert (after.labels, after.total()) == ([labels(28)], 3)
    after.counts[after.cell(labels(1))] += 1
    after.counts[after.cell(labels(28))] += 1
    assert [(each.qtype, count) for each, count in zip(after.labels, after.counts, strict=False)] == [(28, 4), (1, 1)]


def test_long_labels_run_out_of_room_and_none_is_lost():
    cells = Cells()
    for number in range(2000):
        zone = number.to_bytes(2, "big") + bytes(250)
        cells.counts[cells.cell(Labels(zone, "udp", 1, 0, False))] += 1
    assert len(cells.labels) < 2000
    assert cells.total() == 2000
