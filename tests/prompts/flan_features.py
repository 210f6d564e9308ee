"""FLAN's features of rows, written out one by one, and a made-up file of templates in FLAN's form.

What FLAN's code computes of a row before it fills in a template: for each of its sets the data set of
ours, a row of it and the features. The templates themselves are not FLAN's.
"""

TITLE = "They went home at ten."
SQUAD = {"title": "The_River", "context": "It is long.", "question": "Is it?"}
OPTIONS_OF_NLI = ("yes", "it is not possible to tell", "no")


def pair(first, second, label):
    return {first: "A man sleeps.", second: "A man is awake.", "label": label}


def of_two_texts(dataset, options, first="premise", second="hypothesis", labels=None, names=None):
    """Cases of a set whose rows are two texts and a label: list of (data set, row, features)."""
    names = names or (first, second)
    return [
        (dataset, pair(first, second, label), {
            names[0]: "A man sleeps.", names[1]: "A man is awake.", "options": options,
            "answer": options[label],
        })
        for label in labels or range(len(options))
    ]  # fmt: skip


def of_one_text(dataset, options, field="text", index="label"):
    return [
        (dataset, {field: TITLE, index: label}, {field: TITLE, "options": options, "answer": option})
        for label, option in enumerate(options)
    ]  # fmt: skip


def translations(dataset, code, language):
    row = {"translation": {"en": "The house.", code: "Das Haus."}}
    return [(dataset, row, {"lang1": "English", "lang2": language, "sent1": "The house.",
                            "sent2": "Das Haus."})]  # fmt: skip


def arc(dataset):
    row = {"question": "Which?", "answerKey": "C",
           "choices": {"text": ["one", "two", "three"], "label": ["A", "B", "C"]}}  # fmt: skip
    return [(dataset, row, {"question": "Which?", "options": ("one", "two", "three"),
                            "answer": "three"})]  # fmt: skip


YES_NO, NO_YES = ("yes", "no"), ("no", "yes")
# FLAN's set -> [(data set, row, features)].
CASES = {
    "rte": of_two_texts("super_glue/rte", YES_NO),
    "cb": of_two_texts("super_glue/cb", ("Yes", "No", "It's impossible to say")),
    "anli": of_two_texts(
        "anli", ("Yes", "It's impossible to say", "No"), names=("context", "hypothesis")
    ),
    "mnli": of_two_texts("glue/mnli", OPTIONS_OF_NLI),
    "snli": of_two_texts("snli", OPTIONS_OF_NLI),
    "qnli": of_two_texts("glue/qnli", YES_NO, "sentence", "question"),
    "wnli": of_two_texts("glue/wnli", NO_YES, "sentence1", "sentence2"),
    "glue_mrpc": of_two_texts("glue/mrpc", NO_YES, "sentence1", "sentence2"),
    "glue_qqp": of_two_texts("glue/qqp", NO_YES, "question1", "question2"),
    "paws_wiki": of_two_texts("paws/labeled_final", NO_YES, "sentence1", "sentence2"),
    "cola": of_one_text("glue/cola", ("unacceptable", "acceptable"), "sentence"),
    "sst2": of_one_text("glue/sst2", ("negative", "positive"), "sentence"),
    "trec": of_one_text(
        "trec", ("description", "entity", "abbreviation", "human", "numeric", "location"),
        index="label_coarse",
    ),
    "ag_news_subset": of_one_text("ag_news", ("World", "Sports", "Business", "Science/Tech")),
    "sentiment140": [
        ("sentiment140", {"text": TITLE, "sentiment": value},
         {"text": TITLE, "options": ("negative", "positive"), "answer": answer})
        for value, answer in ((0, "negative"), (4, "positive"))
    ],
    "imdb_reviews": [("imdb", {"text": "Good.<br />Fun.", "label": 1}, {
        "text": "Good.\nFun.", "options": ("negative", "positive"), "answer": "positive"})],
    "yelp_polarity_reviews": [("yelp_polarity", {"text": 'He said \\""no\\"".\\nSo bad.', "label": 0}, {
        "text": 'He said "no". So bad.', "options": ("negative", "positive"), "answer": "negative"})],
    "stsb": [("glue/stsb", {"sentence1": "a", "sentence2": "b", "label": score}, {
        "sentence1": "a", "sentence2": "b", "options": tuple("012345"), "answer_str": text})
        for score, text in ((0.2, "0"), (2.5, "2"), (4.6, "5"))],
    "wsc": [("super_glue/wsc.fixed",
             {"text": "He ran.", "span1_text": "Bob", "span2_text": "He", "label": 1},
             {"context": "He ran.", "text1": "Bob", "text2": "He", "options": NO_YES,
              "answer": "yes"})],
    "wic": [("super_glue/wic", {"word": "bank", "sentence1": "a", "sentence2": "b", "label": 0}, {
        "word": "bank", "sentence1": "a", "sentence2": "b", "answer": "different meanings",
        "options": ("different meanings", "the same meaning")})],
    "copa": [("super_glue/copa", {"premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.",
                                  "question": "effect", "label": 0},
              {"premise": "It rained.", "question": "effect", "options": ("Wet.", "Dry."),
               "answer": "Wet."})],
    "multirc": [("super_glue/multirc",
                 {"paragraph": "p", "question": "q", "answer": "the river", "label": 1},
                 {"paragraph": "p", "question": "q", "response": "the river", "options": NO_YES,
                  "answer": "yes"})],
    "bool_q": [("super_glue/boolq",
                {"passage": "The Nile -- The Nile -- a river -- is long.", "question": "is it",
                 "label": 1},
                {"title": "The Nile", "text": "The Nile -- a river -- is long.", "question": "is it",
                 "options": NO_YES, "answer": "yes"})],
    "record": [("super_glue/record",
                {"passage": "Tom met Ann.\n@highlight\nThey met", "query": "So @placeholder went home.",
                 "entities": ["Tom", "Ann"], "answers": ["Ann", "Tom"]},
                {"passage": "Tom met Ann.", "query": "So",
                 "options": ("Tom went home.", "Ann went home."), "answer": "Ann went home."})],
    "hellaswag": [("hellaswag", {"ctx": "[header] How to sit. [title] Find a chair. [step] Then",
                                 "label": "1",
                                 "endings": ["run.", "[step] sit. [substeps] So."]},
                   {"context": "How to sit. \nFind a chair. \nThen", "options": ("run.", "sit. So."),
                    "answer": "sit. So."})],
    "piqa": [("piqa", {"goal": "Sit", "sol1": "on it", "sol2": "under it", "label": 0}, {
        "goal": "Sit", "options": ("on it", "under it"), "answer": "on it"})],
    "story_cloze": [("story_cloze/2016",
                     {**{f"input_sentence_{i}": f"S{i}." for i in (1, 2, 3, 4)},
                      "sentence_quiz1": "Yes.", "sentence_quiz2": "No.", "answer_right_ending": 2},
                     {"context": "S1. S2. S3. S4.", "options": ("Yes.", "No."), "answer": "No."})],
    "cosmos_qa": [("cosmos_qa", {"context": "c", "question": "q", "label": 3,
                                 **{f"answer{i}": f"a{i}" for i in range(4)}},
                   {"context": "c", "question": "q", "options": ("a0", "a1", "a2", "a3"),
                    "answer": "a3"})],
    "openbookqa": [("openbookqa/additional",
                    {"fact1": "f", "question_stem": "q", "answerKey": "B",
                     "choices": {"text": ["x", "y"], "label": ["A", "B"]}},
                    {"fact": "f", "question": "q", "options": ("x", "y"), "answer": "y"})],
    "arc": [*arc("ai2_arc/ARC-Challenge"), *arc("ai2_arc/ARC-Easy")],
    "winogrande": [("winogrande/winogrande_xl",
                    {"sentence": "Ann saw Eve, so _ left.", "option1": "Ann", "option2": "Eve",
                     "answer": "2"},
                    {"context": "Ann saw Eve, so ", "options": ("Ann left.", "Eve left."),
                     "answer": "Eve left."})],
    "definite_pronoun_resolution": [(
        "definite_pronoun_resolution",
        {"sentence": "She left.", "pronoun": "She", "candidates": ["Ann", "Eve"], "label": 0},
        {"sentence": "She left.", "pronoun": "She", "options": ("Ann", "Eve"), "answer": "Ann"})],
    "squad_v1": [("squad", {**SQUAD, "answers": {"text": ["long", "very long"]}}, {
        **SQUAD, "title": "The River", "answer": "long"})],
    "squad_v2": [("squad_v2", {**SQUAD, "answers": {"text": texts}}, {
        **SQUAD, "title": "The River", "answer": answer})
        for texts, answer in ((["long", "very"], "long"), ([], "unanswerable"))],
    "drop": [("drop", {"passage": "p", "question": "q", "answers_spans": {"spans": ["2"]}}, {
        "context": "p", "question": "q", "answer": "2"})],
    "natural_questions": [("nq_open", {"question": "who ran", "answer": ["Bob", "Rob"]}, {
        "question": "who ran?", "answer": "Bob"})],
    "trivia_qa": [("trivia_qa/unfiltered", {"question": "Who?", "answer": {
        "value": "The Bob", "normalized_value": "bob", "aliases": ["Rob"]}}, {
        "question": "Who?", "answer": "bob"})],
    "coqa": [("coqa", {"story": "s", "questions": ["a?", "b?"],
                       "answers": {"input_text": ["c", "d"]}}, {
        "text": "s", "numbered_questions": "1. a?\n2. b?", "numbered_answers": "1. c\n2. d"})],
    "aeslc": [("aeslc", {"email_body": "a\nb", "subject_line": "s\n"}, {
        "body": "a b", "subject": "s"})],
    "cnn_dailymail": [("cnn_dailymail/3.0.0", {"article": "a", "highlights": "h"}, {
        "text": "a", "highlights": "h"})],
    "gigaword": [("gigaword", {"document": "d", "summary": "s"}, {"text": "d", "summary": "s"})],
    "multi_news": [("multi_news", {"document": "d", "summary": "s"}, {"text": "d", "summary": "s"})],
    "xsum": [("xsum", {"document": "d", "summary": "s"}, {"text": "d", "summary": "s"})],
    "newsroom": [("newsroom", {"text": "t", "title": "h", "summary": "s"}, {
        "text": "t", "title": "h", "summary": "s"})],
    "samsum": [("samsum", {"dialogue": "d", "summary": "s"}, {"dialogue": "d", "summary": "s"})],
    "common_gen": [("common_gen", {"concepts": ["dog", "run"], "target": "Dogs run."}, {
        "concepts": "dog, run", "concepts_newline": "dog\nrun", "target": "Dogs run."})],
    "dart": [("dart", {"tripleset": [["a", "b", "c"], ["d", "e", "f"]],
                       "annotations": {"text": ["t", "u"]}}, {
        "tripleset": "a | b | c; d | e | f", "tripleset_newline": "a | b | c\nd | e | f",
        "target": "t"})],
    "e2e_nlg": [("e2e_nlg_cleaned", {"meaning_representation": "name[The Mill], area[river]",
                                     "human_reference": "The Mill."},
                 {"meaning_representation": "name = The Mill, area = river", "target": "The Mill."})],
    "web_nlg_en": [("enriched_web_nlg/en",
                    {"modified_triple_sets": {"mtriple_set": [["A_B | in | C", "D | of | E"]]},
                     "lex": {"text": ["x", "y"]}},
                    {"input_string": "A B, in, C; D, of, E", "target": "x"})],
    "para_crawl": translations("para_crawl/enes", "es", "Spanish"),
    "wmt14_enfr": translations("wmt14/fr-en", "fr", "French"),
    "wmt16_translate": [
        case for code, language in (("cs", "Czech"), ("de", "German"), ("fi", "Finnish"),
                                    ("ro", "Romanian"), ("ru", "Russian"), ("tr", "Turkish"))
        for case in translations(f"wmt16/{code}-en", code, language)
    ],
    # Rows with FLAN's own fields.
    "math_dataset": [("math_dataset/algebra__linear_1d", {"question": "1 + 1", "answer": "2"}, {
        "question": "1 + 1", "answer": "2"})],
    "word_segment": [("word_segment", {"no_space": "ab", "answer": "a b"}, {
        "no_space": "ab", "answer": "a b"})],
    "wsc273": [("wsc273", {"context": "So he", "options": ["ran", "sat"], "answer": "sat"}, {
        "context": "So he", "options": ("ran", "sat"), "answer": "sat"})],
}  # fmt: skip


def fields_of(name):
    """Names of a set's features, without the options."""
    return [field for field in CASES[name][0][2] if field != "options"]


def patterns_of(name):
    """Ten made-up pairs of a set: seven that ask for its answer, three turned around."""
    features = CASES[name][0][2]
    others = [field for field in features if field not in ("options", "answer", "answer_str")]
    answers = [field for field in ("answer", "answer_str") if field in features]
    answer = answers[0] if answers else others.pop()
    shown = "\n".join(f"{field}: {{{field}}}" for field in others)
    options = "{options_str}" if name == "record" else "{options_}"  # as in FLAN's file
    asked, turned = f"\n\n{options}" if "options" in features else "", f"{{{answer}}}"
    pairs = [(f'{shown}\n\nNumber {i}, "{name}"?{asked}', turned) for i in range(6)]
    braces = "A brace {, {{ two }}, {% three %} and {# four #}, 100 %."
    pairs.append((f"{braces}\n{shown}{asked}", turned))
    pairs += [
        (f'Write what "{turned}" answers.', shown),
        ("Write both.", f"{shown}\n{turned}"),
        (f"{shown}\nHow does it go on?", turned),  # of the task, without options
    ]
    return pairs


def source_of(sets, quote=repr):
    """A file of templates as FLAN's, with each of the ways in which Python writes a text."""
    lines = ['"""Templates."""', "import os  # pylint: disable=unused-import", "", "PATTERNS = {"]
    for name, pairs in sets.items():
        lines.append(f'    "{name}": [  # a comment with "quotes", (parentheses) and {{braces}}')
        for number, (source, target) in enumerate(pairs):
            middle = len(source) // 2
            first, second = quote(source[:middle]), quote(source[middle:])
            text = [
                quote(source),
                f"{first} {second}",
                f"({first}\n         {second})",
                f"{first} + {second}",
                '"""' + source.replace("\\", "\\\\").replace('"', '\\"') + '"""',
            ][number % 5]
            lines.append(f"        ({text}, {quote(target)}),")
        lines.append("    ],")
    return "\n".join([*lines, "}", "OTHERS = {'rte': 3}", ""])
