"""Executions of a pipeline are listed page by page, up to a bound that is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.aws_support import deployment

from binsight.engines.sagemaker import executions as module
from binsight.engines.sagemaker.aws import Aws, NotThere
from binsight.engines.sagemaker.calls import Call
from binsight.engines.sagemaker.checking import faults
from binsight.engines.sagemaker.executions import PAGE, PAGES, executions
from binsight.errors import MissingObject

D = deployment()
BEGAN = datetime(2026, 11, 26, tzinfo=UTC)


class Listed(Aws):
    """AWS with so many executions, of which each call tells at most what it was asked for."""

    def __init__(self, number: int) -> None:
        super().__init__(D.region)
        self.all = [
            {
                "PipelineExecutionArn": f"{D.arn('sagemaker', 'pipeline/bins')}/execution/{one:012}",
                "PipelineExecutionStatus": "Succeeded",
                "StartTime": BEGAN + timedelta(minutes=one),
            }
            for one in range(number)
        ]
        self.num_calls = 0

    def ask(self, call: Call) -> Any:
        assert faults(call) == []
        self.num_calls += 1
        begin, most = int(call.arguments.get("NextToken", "0")), call.arguments["MaxResults"]
        newest = self.all[::-1]
        more = {"NextToken": str(begin + most)} if begin + most < len(newest) else {}
        return {"PipelineExecutionSummaries": newest[begin : begin + most], **more}


@pytest.mark.parametrize("number", [0, 1, PAGE, PAGE + 1, 5 * PAGE + 1, PAGE * PAGES])
def test_all_executions_are_found_the_newest_first(number: int) -> None:
    aws, told = Listed(number), list[str]()
    found = executions(D, aws, tell=told.append)
    assert [one.arn for one in found] == [one["PipelineExecutionArn"] for one in aws.all[::-1]]
    assert aws.num_calls == max(1, -(-number // PAGE)) and not told


def test_beyond_the_bound_it_is_said_what_is_not_looked_at() -> None:
    aws, told = Listed(PAGE * PAGES + 1), list[str]()
    assert len(executions(D, aws, tell=told.append)) == PAGE * PAGES == 2000
    (said,) = told
    assert said == (
        "the pipeline bins has more than 2,000 executions: those that began before 2026-11-26 00:01 are not looked at"
    )


def test_a_pipeline_that_is_gone_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 1)
    aws = Listed(2)

    def gone(call: Call) -> Any:
        if aws.num_calls:
            raise NotThere("it is gone")
        return Listed.ask(aws, call)

    monkeypatch.setattr(aws, "ask", gone)
    with pytest.raises(MissingObject, match="there is no pipeline bins; make it first"):
        executions(D, aws)
