"""``README.md`` of an exported folder, filled from what is known of the training."""

PIPELINE = {"roberta_mlm": "fill-mask"}
CLASS = {"roberta_mlm": "AutoModelForMaskedLM"}
WHAT = {
    "metro_t5": "METRO-T5 with its auxiliary model and heads",
    "t5_transformer": "the main model of a METRO-T5, or a T5 of the same architecture",
    "hf_t5": "a T5",
    "roberta_mlm": "a masked language model of RoBERTa's architecture",
}
SEQ2SEQ = """\
inputs = tokenizer(["Is it raining? The sun shines."], return_tensors="pt", truncation=True)
outputs = model.generate(**inputs)
print(tokenizer.batch_decode(outputs, skip_special_tokens=True))
"""
MASKED = """\
logits = model(**tokenizer(["some text"], return_tensors="pt", truncation=True)).logits
"""


def model_card(facts, sizes, parameters, remote_code):
    """The text of the card.

    facts: :func:`~fairseq_metro.interchange.training_facts.facts_of`; sizes: {name: number};
    parameters: their number; remote_code: does the folder need its own Python files.
    """
    kind, stamp = facts["architecture"], facts["stamp"]
    trust = ", trust_remote_code=True" if remote_code else ""
    auto = CLASS.get(kind, "AutoModelForSeq2SeqLM")
    return "\n".join([
        "---",
        "library_name: transformers",
        f"pipeline_tag: {PIPELINE.get(kind, 'text2text-generation')}",
        "tags:",
        "- fairseq_metro",
        f"- {kind}",
        "---",
        "",
        f"# {facts['title']}",
        "",
        f"This is {WHAT[kind]}, trained with fairseq_metro and exported by `fairseq-metro "
        f"export-hf`. {_about_code(remote_code)}",
        "",
        "```python",
        f"from transformers import {auto}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("FOLDER"{trust})',
        f'model = {auto}.from_pretrained("FOLDER"{trust}).eval()',
        MASKED.rstrip() if kind in CLASS else SEQ2SEQ.rstrip(),
        "```",
        "",
        "## Model",
        "",
        *_table({"parameters": f"{parameters:,}", **sizes}),
        "",
        "## Training",
        "",
        *_table(_training(facts, stamp)),
        "",
        "## Use",
        "",
        "The tokenizer normalises text as in training and gives the same ids; do not normalise it "
        "yourself. To rank choices, sum the log-probabilities of a choice's tokens, `</s>` included; "
        "`fairseq-metro evaluate FOLDER` does so for whole suites of tasks. Data, intended use, "
        "limits and licence are for whoever trained the model to say.",
        "",
    ])  # fmt: skip


def _about_code(remote_code):
    if remote_code:
        return ("Its Python files are small and need transformers, torch and sentencepiece alone: "
                "read them before you trust them.")  # fmt: skip
    return "It needs no code of its own."


def _training(facts, stamp):
    known = {
        "architecture": facts["architecture"],
        "updates": f"{facts['updates']:,}",
        "fairseq_metro": f"{stamp.get('fairseq_metro', 'unknown')}, commit "
        f"{stamp.get('commit', 'unknown')}",
        "vocabulary": _digest(stamp.get("vocabulary")),
        "data": ", ".join(map(_digest, stamp.get("data") or [])) or "unknown",
        "imported from": stamp.get("imported_from"),
        "command": f"`{stamp['command']}`" if stamp.get("command") else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _digest(value):
    return f"sha256 {value[:12]}" if isinstance(value, str) else "unknown"


def _table(rows):
    return ["| | |", "|---|---|", *(f"| {_cell(k)} | {_cell(v)} |" for k, v in rows.items())]


def _cell(value):
    return str(value).replace("|", "\\|").replace("\n", " ")
