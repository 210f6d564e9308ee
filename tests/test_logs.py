import logging

import pytest

from fairseq_metro.logs import quieted


def test_levels_come_back_even_after_an_error():
    one, two = logging.getLogger("quieted.one"), logging.getLogger("quieted.two")
    one.setLevel(logging.DEBUG)
    with pytest.raises(ZeroDivisionError), quieted("quieted.one", "quieted.two"):
        assert one.level == two.level == logging.WARNING
        assert not one.isEnabledFor(logging.INFO) and not two.isEnabledFor(logging.INFO)
        raise ZeroDivisionError
    assert one.level == logging.DEBUG and two.level == logging.NOTSET
