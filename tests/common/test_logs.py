import logging

import pytest

from fairseq_metro.common.logs import messages_on_stderr, quieted


def test_levels_come_back_even_after_an_error():
    one, two = logging.getLogger("quieted.one"), logging.getLogger("quieted.two")
    one.setLevel(logging.DEBUG)
    with pytest.raises(ZeroDivisionError), quieted("quieted.one", "quieted.two"):
        assert one.level == two.level == logging.WARNING
        assert not one.isEnabledFor(logging.INFO) and not two.isEnabledFor(logging.INFO)
        raise ZeroDivisionError
    assert one.level == logging.DEBUG and two.level == logging.NOTSET


@pytest.fixture
def root():
    """The root logger as importing fairseq leaves it: DEBUG, a handler with a prefix."""
    logger, handler = logging.getLogger(), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger, handler
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_messages_are_bare_lines_and_all_is_as_before_afterwards(root, capsys):
    logger, handler = root
    before = list(logger.handlers)

    @messages_on_stderr()
    def command():
        """What it does."""
        logging.getLogger("one.command").debug("details")
        logging.getLogger("one.command").info("written")
        with messages_on_stderr(logging.WARNING):
            logging.getLogger("one.command").info("not to be said")
            logging.getLogger("one.command").warning("beware")
        logging.getLogger("one.command").info("once")
        return 7

    for _ in range(2):
        assert command() == 7 and command.__doc__ == "What it does."
        out = capsys.readouterr()
        assert (out.out, out.err) == ("", "written\nbeware\nonce\n")
    assert sorted(map(id, logger.handlers)) == sorted(map(id, before))
    assert logger.level == logging.DEBUG and handler in logger.handlers


def test_handlers_come_back_after_an_error(root):
    logger, handler = root
    with pytest.raises(ZeroDivisionError), messages_on_stderr():
        assert handler not in logger.handlers and logger.level == logging.INFO
        raise ZeroDivisionError
    assert handler in logger.handlers and logger.level == logging.DEBUG
