"""Write the output of real commands into the pages of docs/systems/.

    slipway repro repurchase customer_segments churn
    slipway slo programs
    SLIPWAY_MONITOR_MATURITY_SECONDS=1 make up
    slipway demo traffic titanic --drift fare
    python -m infra.documentation.outputs [PAGE ...]

runs the commands of `OUTPUTS` in this checkout, all or those of some pages, and replaces the block
between `<!-- output NAME -->` and its end mark by the command and its standard output. Without the
variable the monitor would wait an hour for labels. What differs from run to run is replaced by the
rules of `REPLACED`.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway import paths
from slipway.marks import replace_between

PAGES = Path("docs/systems")
SECONDS = 300.0
# In this order: a time contains what another rule could match.
REPLACED = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    # With a letter: the digits of a number are none.
    (re.compile(r"\b(?=\d*[a-f])[0-9a-f]{12,64}\b"), "<hash>"),
)


class CommandFailed(Exception):
    """A command of a page failed; the message holds the command and its error output."""


@dataclass(frozen=True)
class Output:
    """A command whose output a page shows."""

    name: str
    page: str
    command: str

    def run(self, folder: Path) -> str:
        """Run the command in a shell and return its standard output, normalized.

        Raises:
            CommandFailed: its exit status is not 0, or it prints nothing.
        """
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-c", self.command],
            cwd=folder,
            env=os.environ | {"PATH": programs},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode or not done.stdout.strip():
            raise CommandFailed(f"{self.command}\n{done.stdout}{done.stderr}")
        return normalize(done.stdout)


MOMENTS = """python -c "import pandas as pd
from slipway.features.history import training_set
days = pd.to_datetime(['2010-12-10', '2011-06-01', '2011-12-01'], utc=True)
rows = training_set('{service}', pd.DataFrame({{'customer_id': 12347, 'event_timestamp': days}}))
print(rows.set_index(days.date)[{columns}].to_string())\""""
PREDICT = (
    "curl -sf http://127.0.0.1:8000/v1/models/{model}/predict -H 'Content-Type: application/json'"
)
CHECK = """curl -sf -X POST http://127.0.0.1:8010/v1/projects/titanic/check |
python -c "import json, sys
{lines}\""""
FIELDS = """for each in json.load(sys.stdin)['windows'][0]['fields']:
    if {condition}:
        columns = '{{field:24}} {{reference_typical:24}} {{typical:24}} {{effect:.2f}}'
        print(columns.format(**each))"""
OUTPUTS = (
    Output("definitions", "feature_store", "slipway features apply"),
    Output("offline", "feature_store", 'slipway features build | sed "s|$PWD/||"'),
    Output("online", "feature_store", "slipway features get churn 7590-VHVEG"),
    Output(
        "moments",
        "feature_store",
        MOMENTS.format(service="repurchase", columns=["orders", "orders_90d", "spent"]),
    ),
    Output("shared views", "feature_store", "slipway features lineage customer_purchases"),
    Output(
        "a year",
        "feature_store",
        MOMENTS.format(service="customer_segments", columns=["orders_365d", "net_spent_365d"]),
    ),
    Output("lineage", "feature_store", "slipway features lineage repurchase"),
    Output(
        "prediction",
        "real_time_serving",
        PREDICT.format(model="titanic")
        + """ -d '{"name": "Perkin, Mr. John Henry", "sex": "male",
  "passenger_class": 3, "age": 22.0, "siblings_spouses": 0, "parents_children": 0,
  "fare": 7.25, "embarked": "S"}'""",
    ),
    Output(
        "looked up",
        "real_time_serving",
        PREDICT.format(model="repurchase") + """ -d '{"customer_id": 12347}'""",
    ),
    Output("services", "real_time_serving", "docker compose config --services | sort"),
    Output(
        "manifests",
        "real_time_serving",
        "kubectl kustomize k8s/base | grep '^kind:' | sort | uniq -c",
    ),
    Output(
        "load",
        "real_time_serving",
        "python -m infra.locust --users 4 --seconds 5 --rate 20 2>/dev/null | head -n 2",
    ),
    Output(
        "metrics",
        "real_time_serving",
        """curl -sf http://127.0.0.1:8000/metrics | grep '^slipway_rows_total{project="titanic"'""",
    ),
    Output("data set", "experiment_tracking", "slipway datasets titanic"),
    Output("promotions", "experiment_tracking", "slipway history titanic"),
    Output(
        "mlflow predicts",
        "experiment_tracking",
        """echo '{"inputs": [{"name": "Perkin, Mr. John Henry", "sex": "male",
  "passenger_class": 3, "age": 22.0, "siblings_spouses": 0, "parents_children": 0,
  "fare": 7.25, "embarked": "S"}]}' |
MLFLOW_TRACKING_URI=sqlite:///.slipway/mlflow.db mlflow models predict \\
  --model-uri models:/titanic@champion --env-manager local --content-type json""",
    ),
    Output(
        "inputs",
        "model_monitoring",
        CHECK.format(lines=FIELDS.format(condition="not each['field'].startswith('prediction.')")),
    ),
    Output(
        "predictions",
        "model_monitoring",
        CHECK.format(lines=FIELDS.format(condition="each['field'].startswith('prediction.')")),
    ),
    Output(
        "labels",
        "model_monitoring",
        CHECK.format(
            lines="""found = json.load(sys.stdin)['performance']
print(found['labelled'], 'labels')
for kind in ('scores', 'reference'):
    for each in found[kind]:
        print('{:10} {metric:10} {value:.3f}  {low:.3f} to {high:.3f}'.format(kind, **each))"""
        ),
    ),
    Output(
        "rules",
        "model_monitoring",
        "slipway slo check && $(slipway slo programs | awk '/promtool/ {print $2}')"
        " test rules infra/prometheus/tests/*.yaml",
    ),
    Output("decisions", "model_monitoring", "slipway runs decisions --project titanic"),
    Output(
        "change",
        "ml_platform",
        """git clone -q . "$(mktemp -d)/change" && cd "$_"
sed -i 's/^  folds: .*/  folds: 8/' pipelines/ml/titanic/params.yaml
slipway affected --since HEAD --json
slipway report --since HEAD | head -n 7""",
    ),
    Output(
        "own parameters",
        "ml_platform",
        """slipway runs start titanic --reason 'more folds' --set fit.folds=7 --follow |
grep -v "Stage\\|Running\\|lock file\\|python" """.rstrip(),
    ),
    Output(
        "two versions",
        "ml_platform",
        """slipway policy assign titanic challenger 1
slipway policy set titanic --challenger 50 > /dev/null
slipway demo traffic titanic --minutes 2 --rate 20
curl -sf http://127.0.0.1:8000/v1/models/titanic/comparison | python -c "import json, sys
found = json.load(sys.stdin)
for variant in ('champion', 'challenger'):
    print('{version}: {n} labels, accuracy {mean:.3f}'.format(**found[variant]))
print(found['comparison']['verdict'])"
slipway policy set titanic --challenger 0 > /dev/null""",
    ),
    Output(
        "tampering",
        "ml_platform",
        """cp .slipway/promotions.jsonl "$(mktemp -d)" && cd "$_"
python -c "from pathlib import Path
from filelock import FileLock
from slipway.registry.chain import ChainBroken, ChainLog
log = ChainLog(Path('promotions.jsonl'), lock=lambda: FileLock('lock'))
print(len(log.entries()), 'entries, each with the hash of the one before it')
log.file.write_text(log.file.read_text().replace('first champion', 'by hand', 1))
try:
    log.entries()
except ChainBroken as broken:
    print(broken)\"""",
    ),
    Output(
        "faults",
        "ml_platform",
        """python -c "from infra.chaos.results import COMMITTED, Results
for each in Results.model_validate_json(COMMITTED.read_text()).outcomes:
    asked = sum(seen.asked for seen in each.seen.values())
    errors = sum(sum(seen.errors.values()) for seen in each.seen.values())
    print('{:28} {:6} requests, {:4} errors'.format(each.fault, asked, errors))\"""",
    ),
)


def normalize(text: str) -> str:
    """Replace times, ids and hashes, and remove spaces at the ends of lines."""
    for pattern, replacement in REPLACED:
        text = pattern.sub(replacement, text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def block(output: Output, printed: str) -> str:
    """Return the Markdown between the marks: the command as one types it, then what it prints."""
    return f"```console\n$ {output.command}\n{printed}\n```"


def blocks(page: str) -> dict[str, str]:
    """Return the Markdown between the marks of a page, by the name of the output."""
    found = re.findall(r"<!-- output ([\w ]+) -->(.*?)<!-- /output \1 -->", page, re.DOTALL)
    return {name: text.strip() for name, text in found}


def write(output: Output, printed: str, root: Path) -> None:
    """Replace the block of an output in its page.

    Raises:
        ValueError: the page has no such marks.
    """
    page = root / PAGES / f"{output.page}.md"
    replace_between(page, f"output {output.name}", block(output, printed))


def main(pages: list[str]) -> int:
    root = paths.root().resolve()
    for each in OUTPUTS:
        if pages and each.page not in pages:
            continue
        try:
            write(each, each.run(root), root)
        except (CommandFailed, ValueError) as fault:
            print(f"outputs: {fault}", file=sys.stderr)
            return 1
        print(f"outputs: {each.page}: {each.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
