"""The held-out months by Holt and Winters' method of statsmodels, which fits each history anew.

    pip install statsmodels && python3 yardstick.py
"""

import json
import statistics
import sys
import warnings
from pathlib import Path

from statsmodels.tsa.holtwinters import ExponentialSmoothing

TESTS = Path(__file__).resolve().parent / "tests"
sys.path.insert(0, str(TESTS))

from scorers import closer  # noqa: E402


def forecast(history: list[float], horizon: int) -> list[float]:
    model = ExponentialSmoothing(
        history, trend="add", damped_trend=True, seasonal="add", seasonal_periods=12
    )
    return model.fit().forecast(horizon).tolist()


def main() -> None:
    warnings.filterwarnings("ignore")
    lines = (TESTS / "full/heldout/months.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    answers = [{"structuredContent": {"values": forecast(**case["arguments"])}} for case in cases]
    print(f"statsmodels: {statistics.fmean(map(closer, cases, answers)):.3f} held out")


main()
