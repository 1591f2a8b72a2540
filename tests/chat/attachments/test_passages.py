"""Passages of documents and their ranking."""

from __future__ import annotations

from modules.chat.attachments.passages import PassageRanking, split_passages


def test_passages_are_the_text_in_pieces_of_so_many_words() -> None:
    text = "One, two.\nThree  four (five) six seven"
    passages = split_passages(f"  {text}\n", 3)
    assert "".join(passages) == text
    assert passages == ["One, two.\nThree  ", "four (five) six ", "seven"]
    assert split_passages(" \n", 3) == []
    assert split_passages("?!", 3) == ["?!"]
    assert [len(passage) for passage in split_passages("鷺" * 10, 4)] == [4, 4, 2]


def test_rare_words_count_more_and_passages_without_a_word_are_left_out() -> None:
    ranking = PassageRanking(["the lake is blue", "the heron is grey", "the lake is deep", ""])
    assert [found.place for found in ranking.search("Is the HERON at the lake?")] == [1, 0, 2]
    assert [found.place for found in ranking.search("heron")] == [1]
    assert ranking.search("otter") == PassageRanking([]).search("the") == []
