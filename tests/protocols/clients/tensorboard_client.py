"""A real TensorBoard over a folder. Runs in Environment client-tensorboard: LOGDIR -> one JSON document.

{run: nodes of the graph that its page gets}, each run being a folder below LOGDIR.
"""

import json
import re
import sys
import urllib.parse
import urllib.request

from tensorboard import program

board = program.TensorBoard()
board.configure(argv=[None, "--logdir", sys.argv[1], "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"])
address = board.launch()


def get(path: str) -> str:
    with urllib.request.urlopen(address + path, timeout=30) as stream:
        return stream.read().decode()


answer = {}
for run, told in json.loads(get("data/plugin/graphs/info")).items():
    assert told["run_graph"], run
    query = urllib.parse.urlencode({"run": run})
    text = get(f"data/plugin/graphs/graph?{query}")
    answer[run] = sorted(re.findall(r'^node \{\n  name: "(.*)"', text, re.MULTILINE))
print(json.dumps(answer))
