"""Tries well-known clients of the OpenAI API against a running server and prints a table of what works.

    mistralrs-rsd serve --rsd --port 8080
    python examples/clients/run.py http://127.0.0.1:8080/v1 [--only TEXT] [--gguf FILE] [--write PAGE]

Installs the clients with pip and npm, in the versions of requirements.txt and package.json, into target/clients. Only
the Python of the standard library, Node and curl must be there. The answers are short, so that the demo's models on a
CPU take a few minutes. Ends with status 1 if a check fails.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent.parent / "target" / "clients"
DEMO_GGUF = Path.home() / ".cache/mistralrs-rsd/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


def install():
    """Returns the Python that has the clients, and the folder of those for Node if there is a Node."""
    environment, node = FOLDER / "venv", FOLDER / "node"
    python = environment / "bin" / "python"
    requirements = HERE / "requirements.txt"
    if not python.exists():
        venv.create(environment, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements], check=True)
    if not shutil.which("npm"):
        return python, None
    node.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "node_checks.mjs"):
        shutil.copy(HERE / name, node)
    subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit"], cwd=node, check=True)
    return python, node


def results_of(command, environment, folder):
    """The JSON lines that a program of checks prints; what else it says goes to a log."""
    with open(FOLDER / "log", "a") as log:
        done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"client"')]


def curl(url):
    """A stream by curl, whose lines a person sees."""
    body = json.dumps({"prompt": "1, 2, 3, 4,", "max_tokens": 8, "temperature": 0, "stream": True})
    command = ["curl", "-sSN", "--max-time", "300", f"{url}/completions", "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True)
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout.split()[1]
    ends = done.stdout.rstrip().endswith("data: [DONE]")
    result = "works" if ends else f"FAILS: {done.stdout[-200:]} {done.stderr}"
    return {"client": "curl", "version": version, "feature": "completions, stream", "result": result}


def table_of(results):
    lines = ["| client | version | what | result |", "|---|---|---|---|"]
    for row in results:
        result = " ".join(row["result"].split()).replace("|", "\\|")[:160]
        lines.append(f"| {row['client']} | {row['version']} | {row['feature']} | {result} |")
    return "\n".join(lines)


def write(page, table):
    """Replaces what stands between the two marks of a page."""
    text = page.read_text()
    begin, end = "<!-- begin: results -->\n", "<!-- end: results -->"
    before, rest = text.split(begin)
    page.write_text(f"{before}{begin}\n{table}\n\n{end}{rest.split(end)[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="base URL, such as http://127.0.0.1:8080/v1")
    parser.add_argument("--only", default="", help="only checks whose client or feature holds this text")
    parser.add_argument("--gguf", default=DEMO_GGUF, help="GGUF file with the target's tokenizer, for lm_eval")
    parser.add_argument("--write", type=Path, help="a page in which the table is replaced, such as docs/clients.md")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    python, node = install()
    environment = os.environ | {
        "OPENAI_BASE_URL": options.url,
        "OPENAI_API_KEY": os.environ.get("OPENAI_API_KEY", "none"),
        "RSD_CLIENTS_GGUF": str(options.gguf),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # litellm would fetch a list of prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    program = "import checks, openai_checks, other_checks, harness_checks, sys; checks.run_all(sys.argv[1])"
    results = results_of([python, "-c", program, options.only], environment, HERE)
    if node:
        results += results_of(["node", "node_checks.mjs", options.only], environment, node)
    if options.only in "curl completions, stream":
        results.append(curl(options.url))
    table = table_of(results)
    print(table)
    if options.write:
        write(options.write, table)
    failed = sum(row["result"].startswith("FAILS") for row in results)
    print(f"\n{len(results)} checks, {failed} failed; details in {FOLDER / 'log'}")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
