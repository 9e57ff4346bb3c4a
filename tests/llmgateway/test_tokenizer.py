"""Counting tokens on this machine."""

import time

import tiktoken

from llmgateway import tokenizer


def test_it_counts_as_cl100k_does():
    assert tokenizer.count_tokens("hello world") == 2
    assert tokenizer.count_tokens("") == 0
    assert tokenizer.count_tokens("<|endoftext|>") > 1
    assert isinstance(tokenizer.load_encoding(), tiktoken.Encoding)


def test_a_text_is_counted_once():
    tokenizer.load_encoding()
    text = "a sentence of some words. " * 4000
    began = time.process_time()
    count = tokenizer.count_tokens(text)
    counted = time.process_time()
    for _ in range(50):
        assert tokenizer.count_tokens(text) == count

    assert time.process_time() - counted < 10 * (counted - began)


def test_one_endless_word_takes_no_endless_time():
    began = time.process_time()

    assert tokenizer.count_tokens("x" * 500_000) > 0
    assert (
        time.process_time() - began < 20
    )  # many minutes, if it looked at all of it for each piece


def test_lone_surrogates_are_counted_too():
    assert tokenizer.count_tokens("\ud800" * 300) > 0


def test_what_is_forgotten_is_counted_again(monkeypatch):
    monkeypatch.setattr(tokenizer, "REMEMBERED_MAX", 2)
    held = tokenizer._Remembered()
    for number in range(3):
        held.put(bytes([number]), number)

    assert held.get(b"\x00") is None
    assert held.get(b"\x02") == 2


def test_without_the_file_length_decides(monkeypatch):
    monkeypatch.setattr(tokenizer, "load_encoding", lambda: None)

    assert tokenizer.count_tokens("12345") == 2


def test_without_the_package_there_is_no_tokenizer(monkeypatch):
    monkeypatch.setattr(tokenizer.importlib.util, "find_spec", lambda name: None)

    assert tokenizer.load_encoding.__wrapped__() is None


def test_without_the_file_there_is_no_tokenizer(monkeypatch):
    monkeypatch.setattr(tokenizer, "RANKS_FILE", "gone")

    assert tokenizer.load_encoding.__wrapped__() is None
