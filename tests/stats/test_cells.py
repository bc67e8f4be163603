from clusterdns.stats import Cells, Labels


def labels(qtype: int = 1, memo: bool = False) -> Labels:
    return Labels(b"\0", "udp", qtype, 0, memo)


def test_a_cell_for_each_combination():
    cells = Cells()
    first, second = cells.cell(labels(1)), cells.cell(labels(28))
    assert cells.cell(labels(1)) == first != second
    cells.counts[first] += 2
    cells.counts[second] += 3
    assert [(each.qtype, count) for each, count in zip(cells.labels, cells.counts, strict=True)] == [(1, 2), (28, 3)]


def test_totals():
    cells = Cells()
    for memo, count in ((True, 5), (False, 2)):
        cells.counts[cells.cell(labels(memo=memo))] += count
    assert (cells.total(), cells.total(memo=True), cells.total(memo=False)) == (7, 5, 2)


def test_a_client_that_asks_for_every_type_makes_no_more_than_so_many_cells():
    cells = Cells()
    for qtype in range(Cells.LIMIT + 100):
        cells.counts[cells.cell(labels(qtype))] += 1
    assert len(cells.counts) == len(cells.labels) == Cells.LIMIT
    # None is lost
    assert cells.total() == Cells.LIMIT + 100
