"""prompts/sandbox.py and limits.py: what a template may do, and what it is refused."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairseq_metro.common.errors import UserError
from fairseq_metro.prompts import Template
from fairseq_metro.prompts.sandbox import most_frequent

ATTACKS = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''.__class__ }}",
    "{{ x['__class__'] }}",
    "{{ x | attr('__class__') }}",
    "{{ [x] | map(attribute='__class__') | list }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ x.lower.__self__.__class__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{% for c in zip.__class__.__base__.__subclasses__() %}{{c}}{% endfor %}",
    "{% set f = x.__getattribute__ %}{{ f('__class__') }}",
    "{{ lipsum() }}",
    "{% include 'a' %}",
    "{% import 'os' as os %}",
    "{{ range(10 ** 9) | length }}",
    "{% set y = 'a' * 10 ** 9 %}",
    "{% set y = 10 ** 9 * 'a' %}",
    "{% set y = [1] * 10 ** 9 %}",
    "{% set y = 10 ** (10 ** 9) %}",
    "{% set y = 'a'.ljust(10 ** 9) %}",
    "{% set y = 'a'.center(width=10 ** 9) %}",
    "{% set y = 'a'.zfill(10 ** 9) %}",
    "{% set y = 'a\t'.expandtabs(10 ** 9) %}",
    "{% set y = '%1000000000d' % 1 %}",
    "{% set y = '%*d' % (10 ** 9, 1) %}",
    "{% set y = '{:1000000000}'.format(1) %}",
    "{% set y = '{:{w}}'.format(1, w=10 ** 9) %}",
    "{% set y = '%1000000000d' | format(1) %}",
    "{% set y = 'a' | center(10 ** 9) %}",
    "{% set y = 'a\nb' | indent(10 ** 9) %}",
    "{% set y = [1] | batch(10 ** 9, 'a') | list %}",
    "{% set y = ('a' * 10 ** 6).replace('a', 'b' * 10 ** 6) %}",
    "{% set y = ('a' * 10 ** 6) | replace('a', 'b' * 10 ** 6) %}",
    "{% set y = ('a' * 10 ** 6).join(['b'] * 10 ** 6) %}",
    "{% set y = range(100000) | join('b' * 10 ** 6) %}",
    "{% for i in range(100000) %}{% for j in range(1000) %}a{% endfor %}{% endfor %}",
]


@pytest.mark.parametrize("jinja", ATTACKS)
@pytest.mark.parametrize("truncate", [True, False])
def test_attacks_are_refused_at_once_and_the_template_is_named(jinja, truncate):
    began = time.process_time()
    with pytest.raises(UserError, match=r"^d: template 'attack': ") as error:
        Template("d", "attack", jinja).apply({"x": "text"}, truncate=truncate)
    assert "\n" not in str(error.value) and "MemoryError" not in str(error.value)
    assert time.process_time() - began < 5
    with pytest.raises(UserError):
        Template("d", "attack", "a ||| b", jinja).prompt({"x": "text"})


@pytest.mark.parametrize(
    ("jinja", "expected"),
    [
        ("{{ x.lower().split('b')[1:] | join(', ') }}", "c, d"),
        ("{{ ', '.join(['a'] * 3) }}", "a, a, a"),
        ("{{ x.index('B') ** 3 + 7 % 4 }}", "4"),
        ("{{ '%05.1f of %s' % (2.25, 'x') }}", "002.2 of x"),
        ("{{ '{:.>5}'.format(x.replace('a', '--')[:4]) }}", ".--Bc"),
        ("{{ x | center(9) | replace(' ', '.') }}", "..aBcbd.."),
        ("{{ zip([1, 2], 'ab') | list }}", "[(1, 'a'), (2, 'b')]"),
        ("{% set ns = namespace(n=0) %}{% for i in range(9) %}{% set ns.n = ns.n + i %}"
         "{% endfor %}{{ ns.n }}", "36"),
        ("{{ ['a', 'b', 'b', 'c', 'c'] | most_frequent | join }}", "bc"),
        ("{{ [] | most_frequent }}", "None"),
        ("{{ [] | random }}.", "."),
        ("{{ 'x' | highlight }}", "<span style='color: #F08080'>x</span>"),
        ("{{ x }}{{ '<&>' }}", "aBcbd<&>"),
    ],
)  # fmt: skip
def test_what_templates_do_is_allowed(jinja, expected):
    assert Template("d", "n", jinja).apply({"x": "aBcbd"}, truncate=False) == [expected]


@given(st.lists(st.integers(0, 5), min_size=1))
def test_most_frequent_are_all_with_the_largest_count(items):
    counts = Counter(items)
    expected = [item for item in dict.fromkeys(items) if counts[item] == max(counts.values())]
    assert most_frequent(items) == expected
