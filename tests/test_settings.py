"""dataset.yaml: what is accepted, and what a person is told when something in it is wrong."""

from pathlib import Path

import pytest

from kto_recipes.errors import UserError
from kto_recipes.settings import load_settings

GOOD = "source: result.json\npersona: Nina\n"
NEGATIVES = """\
negatives:
  strategies:
    - {strategy: base_sample, share: 0.6}
    - {strategy: template, share: 0.4}
"""


def load(folder: Path, text: str):
    path = folder / "dataset.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        load(folder, text)
    message = str(error.value)
    assert message.startswith(f"{folder / 'dataset.yaml'}: ")
    assert "\n" not in message
    return message.removeprefix(f"{folder / 'dataset.yaml'}: ")


def test_a_source_is_enough(tmp_path):
    settings = load(tmp_path, "source: votes.jsonl\n")
    assert (settings.persona, settings.fields, settings.label_map, settings.threshold) == (None, {}, {}, None)
    assert (settings.raters, settings.contradictions, settings.on_error) == ("majority", "drop", "stop")
    clean = settings.clean
    assert (clean.unicode, clean.redact, clean.near_duplicates, clean.phone_region) == ("NFC", [], None, None)


def test_a_chat_has_a_persona_and_a_system_prompt(tmp_path):
    settings = load(tmp_path, GOOD)
    assert (settings.source, settings.persona) == ("result.json", "Nina")
    assert settings.negatives is None
    # part of the template at every stage
    assert settings.system_prompt == (
        "You are {persona}, chatting with {other}. Respond naturally in their conversational style."
    )


def test_each_setting_that_is_written_is_what_counts(tmp_path):
    settings = load(
        tmp_path,
        GOOD
        + "format: telegram\nchat: '222'\nsystem_prompt: Sei {persona}.\n"
        + "turns: {conversation_gap_hours: 2, max_turns: 10, max_history_turns: 3}\n"
        + "split: {eval_fraction: 0.25, seed: 7}\n"
        + NEGATIVES,
    )
    assert (settings.format, settings.chat, settings.system_prompt) == ("telegram", "222", "Sei {persona}.")
    turns, split = settings.turns, settings.split
    assert (turns.conversation_gap_hours, turns.max_turns, turns.max_history_turns) == (2, 10, 3)
    assert (split.eval_fraction, split.seed) == (0.25, 7)
    assert [s.share for s in settings.negatives.strategies] == [0.6, 0.4]


def test_what_is_said_about_votes_is_what_counts(tmp_path):
    settings = load(
        tmp_path,
        "source: votes.csv\nformat: table\n"
        "fields: {prompt: question, completion: answer, label: thumb, rater: who.id}\n"
        "label_map: {good: true, 'no': false, 5: true, -1: false, 2.5: true}\nthreshold: 3\n"
        "raters: unanimous\ncontradictions: latest\non_error: skip\ndate_order: mdy\nreactions: {👍: true, 👎: false}\n"
        "clean: {max_chars: 9000, unicode: NFKC, redact: [email, phone], phone_region: IT, near_duplicates: 0.9}\n",
    )
    assert settings.fields == {"prompt": "question", "completion": "answer", "label": "thumb", "rater": "who.id"}
    assert settings.label_map == {"good": True, "no": False, "5": True, "-1": False, "2.5": True}
    assert (settings.threshold, settings.raters, settings.contradictions) == (3, "unanimous", "latest")
    assert (settings.on_error, settings.date_order) == ("skip", "mdy")
    assert settings.reactions == {"👍": True, "👎": False}
    clean = settings.clean
    assert (clean.max_chars, clean.unicode, clean.redact) == (9000, "NFKC", ["email", "phone"])
    assert (clean.phone_region, clean.near_duplicates) == ("IT", 0.9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "persona: Marco\n", "not valid YAML: key 'persona' stands here a second time"),
        ("source: a\nsplit:\n  seed: 1\n  seed: 2\n", "not valid YAML: key 'seed' stands here a second time"),
    ],
)
def test_a_key_that_stands_twice_is_refused_and_no_value_is_chosen(tmp_path, text, said):
    assert complaint(tmp_path, text).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "system_promt: x\n", "system_promt: no such setting; did you mean system_prompt?"),
        (GOOD + "split: {eval_fracton: 0.1}\n", "split.eval_fracton: no such setting; did you mean eval_fraction?"),
        (GOOD + "zzzzzzzz: 1\n", "zzzzzzzz: no such setting"),
        (
            GOOD + "negatives: {strategies: [{strategy: base_sample, share: 1, temprature: 2}]}\n",
            "negatives.strategies.0.base_sample.temprature: no such setting; did you mean temperature?",
        ),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_known_one_named(tmp_path, text, said):
    assert complaint(tmp_path, text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("persona: Nina\n", "source: this setting is missing"),
        (GOOD + "turns: {max_turns: 1}\n", "turns.max_turns: Input should be greater than or equal to 2, found 1"),
        (GOOD + "turns: {conversation_gap_hours: 0}\n", "turns.conversation_gap_hours: "),
        (GOOD + "turns: {max_history_turns: 0}\n", "turns.max_history_turns: "),
        (GOOD + "split: {eval_fraction: 0}\n", "split.eval_fraction: Input should be greater than 0, found 0"),
        (GOOD + "split: {eval_fraction: 1}\n", "split.eval_fraction: Input should be less than 1, found 1"),
        (GOOD + "split: {seed: later}\n", "split.seed: "),
        (GOOD + "chat: 222\n", "chat: Input should be a valid string, found 222"),
        (GOOD + "negatives: {strategies: []}\n", "negatives.strategies: "),
        (GOOD + "label_map: {yes: true}\n", "label_map: put each label in quotes: YAML takes yes, no, on, off, "),
        (GOOD + "label_map: {good: fine}\n", "label_map.good: "),
        (GOOD + "label_map: good\n", "label_map: "),
        (GOOD + "fields: {question: q}\n", "fields.question: Input should be 'system', 'prompt', "),
        (GOOD + "raters: most\n", "raters: Input should be 'majority', 'latest' or 'unanimous', found 'most'"),
        (GOOD + "contradictions: keep\n", "contradictions: Input should be 'drop', 'majority' or 'latest', found"),
        (GOOD + "on_error: ignore\n", "on_error: Input should be 'stop' or 'skip', found 'ignore'"),
        (GOOD + "date_order: dm\n", "date_order: Input should be 'dmy', 'mdy' or 'ymd', found 'dm'"),
        (GOOD + "reactions: {👍: up}\n", "reactions.👍: "),
        (GOOD + "clean: {redact: [name]}\n", "clean.redact.0: Input should be 'email', 'phone', 'card' or 'iban', "),
        (GOOD + "clean: {near_duplicates: 1}\n", "clean.near_duplicates: Input should be less than 1, found 1"),
        (GOOD + "clean: {unicode: NFD}\n", "clean.unicode: "),
        (GOOD + "clean: {phone_region: Italy}\n", "clean.phone_region: "),
        (GOOD + "clean: {max_chars: 0}\n", "clean.max_chars: "),
        (GOOD + "negatives: {strategies: [{strategy: shuffle, share: 1}]}\n", "negatives.strategies.0: "),
        (
            GOOD + "negatives: {per_positive: 0, strategies: [{strategy: template, share: 1}]}\n",
            "negatives.per_positive: ",
        ),
        (
            GOOD + "negatives: {strategies: [{strategy: base_sample, share: 1, top_p: 1.5}]}\n",
            "negatives.strategies.0.base_sample.top_p: ",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_key_and_what_was_found(tmp_path, text, said):
    assert complaint(tmp_path, text).startswith(said)


@pytest.mark.parametrize(("first", "second", "total"), [("0.6", "0.5", "1.1"), ("0.6", "0.3", "0.9")])
def test_shares_that_do_not_make_one_are_refused_with_their_sum(tmp_path, first, second, total):
    text = GOOD + NEGATIVES.replace("0.6", first).replace("0.4", second)
    said = f"the shares under negatives.strategies add up to {total}; they must make 1"
    assert complaint(tmp_path, text) == said


def test_shares_that_make_one_but_for_the_last_bit_are_accepted(tmp_path):
    shares = (0.7, 0.2, 0.1)
    assert sum(shares) != 1
    strategies = ", ".join(f"{{strategy: template, share: {share}}}" for share in shares)
    assert load(tmp_path, f"{GOOD}negatives: {{strategies: [{strategies}]}}\n").negatives is not None


@pytest.mark.parametrize("prompt", ["You are {name}.", "You are {}.", "You are {persona.", "{persona.age}"])
def test_a_system_prompt_with_a_slot_that_nothing_fills_is_refused(tmp_path, prompt):
    said = complaint(tmp_path, f"{GOOD}system_prompt: '{prompt}'\n")
    assert said == f"system_prompt: only {{persona}} and {{other}} may stand in braces, found '{prompt}'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source: [\n", "not valid YAML"),
        ("source: a\n\tpersona: b\n", "not valid YAML"),
        ("source: 2024-13-45\n", "not valid YAML"),  # YAML takes it for a date
        ("", "expected keys such as source: and persona:, found NoneType"),
        ("- source\n", "expected keys such as source: and persona:, found list"),
    ],
)
def test_what_is_not_a_yaml_mapping_is_refused_in_one_line(tmp_path, text, said):
    assert complaint(tmp_path, text).startswith(said)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "dataset.yaml").write_bytes("source: a\npersona: Niccolò\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"dataset\.yaml: not valid YAML: .*utf-8"):
        load_settings(tmp_path / "dataset.yaml")


def test_a_missing_file_lists_the_datasets_there_are(tmp_path):
    for name in ("votes", "chats"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.yaml").write_text(GOOD)
    (tmp_path / "notes").mkdir()  # no dataset
    with pytest.raises(UserError, match=r"chat/dataset\.yaml: no such file; the datasets here are: chats, votes$"):
        load_settings(tmp_path / "chat" / "dataset.yaml")


def test_a_missing_file_where_there_are_no_datasets_says_so(tmp_path):
    with pytest.raises(UserError, match=r"the datasets here are: none$"):
        load_settings(tmp_path / "chats" / "dataset.yaml")
