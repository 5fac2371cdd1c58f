from miner.publish.card import size_category


def test_size_categories_are_those_of_the_hub() -> None:
    rows = {0: "n<1K", 999: "n<1K", 1000: "1K<n<10K", 55_173: "10K<n<100K", 10**9: "1B<n<10B", 10**12 - 1: "100B<n<1T"}
    assert {number: size_category(number) for number in rows} == rows
    assert size_category(10**12) == size_category(10**13) == "n>1T"
