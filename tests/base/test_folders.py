"""A folder under its final name is whole; anything else leaves nothing behind."""

import os
from pathlib import Path

import pytest

from glbdes.base.folders import MARK, fresh, numbered, read_mark, safe_name
from glbdes.errors import RecordsError


def fill(folder: Path, text: str = "{}") -> None:
    (folder / MARK).write_text(text)


def test_the_final_name_appears_at_the_end_only(tmp_path):
    target = tmp_path / "deep" / "run"
    with fresh([target]) as folder:
        fill(folder.path)
        assert not target.exists()
    assert folder.path == target
    assert (target / MARK).is_file()
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RecordsError, ValueError, KeyboardInterrupt])
def test_nothing_is_left_when_the_work_fails(tmp_path, error):
    def fail():
        with fresh([tmp_path / "run"]) as folder:
            fill(folder.path)
            raise error("no")

    with pytest.raises(error):
        fail()
    assert not list(tmp_path.iterdir())


def test_an_existing_target_is_refused_before_any_work(tmp_path):
    with pytest.raises(RecordsError, match=r"exists already.*--overwrite"), fresh([tmp_path]):
        pytest.fail("the work began")


def test_overwriting_replaces_a_run_at_the_end_and_keeps_it_if_the_work_fails(tmp_path):
    target = tmp_path / "run"
    target.mkdir()
    fill(target, "old")
    with pytest.raises(ValueError, match="no"), fresh([target], overwrite=True):
        raise ValueError("no")
    assert (target / MARK).read_text() == "old"
    with fresh([target], overwrite=True) as folder:
        fill(folder.path, "new")
        assert (target / MARK).read_text() == "old"
    assert (target / MARK).read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_run_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    target = tmp_path / "run"
    target.mkdir()
    fill(target, "old")
    rename = os.rename

    def refuse_the_new(source, to):
        if "incomplete" in str(source):
            raise PermissionError(13, "Permission denied")
        rename(source, to)

    monkeypatch.setattr(os, "rename", refuse_the_new)
    with pytest.raises(RecordsError, match="cannot be replaced"), fresh([target], overwrite=True) as folder:
        fill(folder.path, "new")
    assert (target / MARK).read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_not_a_run_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RecordsError, match="is not a run"), fresh([tmp_path], overwrite=True):
        pytest.fail("the work began")
    with pytest.raises(RecordsError, match="is not a run"), fresh([tmp_path / "thesis.tex"], overwrite=True):
        pytest.fail("the work began")


def test_numbered_names_are_taken_in_order_and_a_name_lost_meanwhile_is_passed_over(tmp_path):
    (tmp_path / "run").mkdir()
    with fresh(numbered(tmp_path / "run")) as folder:
        fill(folder.path)
        (tmp_path / "run-2").mkdir()  # another run was faster
        fill(tmp_path / "run-2")
    assert folder.path == tmp_path / "run-3"


def test_a_target_lost_meanwhile_is_not_overwritten(tmp_path):
    target = tmp_path / "run"

    def lose():
        with fresh([target]) as folder:
            fill(folder.path, "mine")
            target.mkdir()
            fill(target, "theirs")

    with pytest.raises(RecordsError, match="exists already"):
        lose()
    assert (target / MARK).read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be made"), fresh([tmp_path / "file" / "run"]):
        pytest.fail("the work began")


@pytest.mark.parametrize(("text", "name"), [("eglb", "eglb"), ("my.module:Class", "my.module_Class"), ("../x", "x")])
def test_names_are_safe_in_paths(text, name):
    assert safe_name(text) == name


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "not JSON"), ("[]", "format = None, must be 1"), ('{"format": 2}', "format = 2, must be 1")],
)
def test_a_damaged_or_foreign_mark_is_refused_whatever_the_folder_holds(tmp_path, text, told):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(RecordsError, match=told):
        read_mark(tmp_path, "comparison.json", 1, "a finished comparison")
