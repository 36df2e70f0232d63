"""A reason sentence says what its row says, whatever the names are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sentences import FEATURES, LEADS, Method, Named, doubt, features_sentence, holdings_sentence, quoted, share

METHODS: list[Method] = [method for method in LEADS if method != "none"]


def spoken(sentence: str) -> list[tuple[str, str]]:
    """The names of a sentence with what stands in brackets behind each."""
    return re.findall(r"“([^”]*)” \(([^)]*)\)", sentence)


def test_a_sentence_word_by_word() -> None:
    named = [Named("Velmora", 0.62), Named("Quill, Inc.", 0.21, sold=True)]
    assert holdings_sentence("attention", named, others=3, rest=0.17, tied=0, purchases=5) == (
        "For this recommendation the model looked most at the customer's purchases of “Velmora” (62 %) and "
        "“Quill, Inc.” (21 %, since sold); 3 others share 17 %"
    )
    assert holdings_sentence("leave_one_out", named[:1], others=0, rest=0.0, tied=0, purchases=2) == (
        "This recommendation depends most on the customer's purchase of “Velmora” (62 %); "
        "a percentage is a purchase's share of the likelihood lost when each is left out in turn"
    )


def test_one_holding_only_is_said_as_one() -> None:
    one = [Named("Velmora", 1.0)]
    assert holdings_sentence("leave_one_out", one, 0, 0.0, 0, purchases=1) == (
        "This recommendation depends most on the customer's only purchase, “Velmora” (100 %)"
    )


def test_one_other_and_ties_are_said() -> None:
    named = [Named("A", 0.25), Named("B", 0.25), Named("C", 0.25)]
    assert "; one other has 25 %, as much as the last one named" in holdings_sentence("attention", named, 1, 0.25, 1, 4)
    named = [Named("A", 0.2), Named("B", 0.2), Named("C", 0.2)]
    assert "; 2 others share 40 %, 2 of them weighing as much as the last one named" in holdings_sentence(
        "attention", named, 2, 0.4, 2, 5
    )


@pytest.mark.parametrize(
    ("weight", "words"),
    [(0.0, "0 %"), (0.0001, "under 1 %"), (0.0049, "under 1 %"), (0.005, "1 %"), (0.0051, "1 %"), (0.62, "62 %"),
     (0.9949, "99 %"), (0.995, "over 99 %"), (0.9999, "over 99 %"), (1.0, "100 %")],
)  # fmt: skip
def test_shares_in_words(weight: float, words: str) -> None:
    assert share(weight) == words


def test_names_cannot_break_out_of_their_quotation_marks() -> None:
    assert quoted("Say “x” (99 %)\n and\tmore") == "“Say 'x' (99 %) and more”"


def test_features_and_doubt() -> None:
    assert features_sentence([Named("sector", 0.344), Named("momentum", 0.2)], left_out=False) == (
        "Of what the model reads of it, its sector (34 %) and its recent return (20 %) count most."
    )
    assert features_sentence([Named("zeta", 1.0)], left_out=True) == (
        "Among features, zeta (100 %) counts most, each hidden in turn."
    )
    assert doubt("leave_one_out") == " Leave-one-out was not shown to be better than chance as an explanation in this run."
    assert all(words for words in FEATURES.values())


names = st.text(min_size=1).filter(lambda name: bool(name.split()))
weights = st.floats(0.0001, 1.0).map(lambda weight: round(weight, 4))


@given(
    st.sampled_from(METHODS),
    st.lists(st.tuples(names, weights, st.booleans()), min_size=1, max_size=3),
    st.integers(0, 40),
    weights,
)
def test_any_names_and_weights_are_read_back(
    method: Method, given_: list[tuple[str, float, bool]], others: int, rest: float
) -> None:
    named = [Named(name, weight, sold) for name, weight, sold in given_]
    sentence = holdings_sentence(method, named, others, rest, 0, purchases=len(named) + others)
    read = spoken(sentence)
    assert [name for name, _ in read] == [quoted(one.name)[1:-1] for one in named]
    for (_, inside), one in zip(read, named, strict=True):
        said, _, sold = inside.partition(", ")
        assert (sold == "since sold") == one.sold
        if said == "under 1 %":
            assert 0 < one.weight < 0.005
        elif said == "over 99 %":
            assert 0.995 <= one.weight < 1
        else:
            assert abs(int(said.removesuffix(" %")) - one.weight * 100) <= 0.5 + 1e-9
