"""Programs that benchmarks measure: asked line by line, or run to their end."""

import pytest

from benchmarks.child import Child, told

WORKER = """
import json, os, sys
print(json.dumps({"ready": os.environ["OMP_NUM_THREADS"] + os.environ["WORD"]}), flush=True)
for line in sys.stdin:
    if line == "fail\\n":
        sys.exit("no such work")
    print(json.dumps({"seconds": 2.5, "processor": len(line)}), flush=True)
"""


def test_last_line_of_a_program_is_its_answer_and_a_failure_is_shown():
    assert told("test", "-c", "import sys; print('loading'); print('{\"words\": ' + str(len(sys.argv)) + '}')", "a", "b") == {"words": 3}
    with pytest.raises(RuntimeError, match=r"ended with 3: .*broken") as failed:
        told("test", "-c", "import sys; print('x' * 5000 + ' broken', file=sys.stderr); sys.exit(3)")
    assert len(str(failed.value)) < 3000


def test_child_answers_line_by_line_until_it_fails():
    child = Child("test", "-c", WORKER, threads=3, variables={"WORD": "!"})
    try:
        assert child.first == {"ready": "3!"} and child.start_s > 0
        assert child.seconds("work") == 2.5 and child.seconds("work", "processor") == 5
        child.say("fail")
        with pytest.raises(RuntimeError, match="ended with 1: no such work"):
            child.answer()
    finally:
        child.close()
