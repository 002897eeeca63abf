from __future__ import annotations

import pytest

from conftest import write_trace


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile("def test_step(not_slower):\n    not_slower('new.json')\n")
    write_trace(pytester.path / "new.json", kernel_us=200)
    return pytester


def test_a_slower_trace_fails_and_says_what_became_slower(project: pytest.Pytester) -> None:
    project.runpytest().stdout.fnmatch_lines(["*--profguard-update*"])
    project.runpytest("--profguard-update").assert_outcomes(passed=1)
    project.runpytest().assert_outcomes(passed=1)
    # A kernel that takes 600 us longer.
    write_trace(project.path / "new.json", kernel_us=800)
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*slower than*step>5%*", "*sgemm_128x128*"])
    project.runpytest("--profguard-update").assert_outcomes(passed=1)
    project.runpytest().assert_outcomes(passed=1)


def test_conditions_are_those_of_the_project(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nprofguard_fail_on =\n    kernel>1000%\nprofguard_baselines = kept\n")
    project.runpytest("--profguard-update").assert_outcomes(passed=1)
    assert list((project.path / "kept").iterdir())
    write_trace(project.path / "new.json", kernel_us=400)
    project.runpytest().assert_outcomes(passed=1)
    write_trace(project.path / "new.json", kernel_us=5000)
    project.runpytest().assert_outcomes(failed=1)


def test_directories_are_kept_whole(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_step(not_slower):\n    not_slower('ranks')\n")
    (pytester.path / "ranks").mkdir()
    write_trace(pytester.path / "ranks" / "rank0.json", kernel_us=200)
    for _ in range(2):
        pytester.runpytest("--profguard-update").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_trace_that_cannot_be_read_is_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_step(not_slower):\n    not_slower('a.json', base='b.json')\n")
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*b.json*No such file*"])


def test_tests_of_similar_names_have_traces_of_their_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("name", ["a b", "a-b", "a/b", "x" * 300])
        def test_step(not_slower, name):
            not_slower({"a/b": "slow.json"}.get(name, "fast.json"))
        """
    )
    write_trace(pytester.path / "fast.json", kernel_us=200)
    write_trace(pytester.path / "slow.json", kernel_us=800)
    pytester.runpytest("--profguard-update").assert_outcomes(passed=4)
    assert len(list((pytester.path / "baselines").iterdir())) == 4
    pytester.runpytest().assert_outcomes(passed=4)
    # Each is compared with its own: three became slower, one did not.
    write_trace(pytester.path / "fast.json", kernel_us=800)
    pytester.runpytest().assert_outcomes(passed=1, failed=3)


def test_several_comparisons_of_one_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_step(not_slower):\n    not_slower('one.json')\n    not_slower('two.json')\n")
    write_trace(pytester.path / "one.json", kernel_us=200)
    write_trace(pytester.path / "two.json", kernel_us=800)
    pytester.runpytest("--profguard-update").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)
    write_trace(pytester.path / "one.json", kernel_us=800)
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*one.json is slower*"])


def test_a_directory_takes_the_place_of_a_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_step(not_slower):\n    not_slower('new')\n")
    write_trace(pytester.path / "new", kernel_us=200)
    pytester.runpytest("--profguard-update").assert_outcomes(passed=1)
    (pytester.path / "new").unlink()
    (pytester.path / "new").mkdir()
    write_trace(pytester.path / "new" / "rank0.json", kernel_us=200)
    for _ in range(2):
        pytester.runpytest("--profguard-update").assert_outcomes(passed=1)
    pytester.runpytest().assert_outcomes(passed=1)
    pytester.makepyfile("def test_step(not_slower):\n    not_slower('none')\n")
    result = pytester.runpytest("--profguard-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["none: cannot be kept: *No such file*"])
    # What was kept stays.
    assert [path.suffix for path in (pytester.path / "baselines").iterdir()] != [".new"]
