"""The embedded model's process: llama.cpp's own server (OpenAI wire) on loopback.

`python -m llama_service.runtime.model_server --model FILE --name NAME --port N --context TOKENS --threads N --slots N`;
the API key comes in EMBEDDED_API_KEY. The supervisor sets OMP_WAIT_POLICY before this process loads libgomp.
"""

import argparse
import os
import signal

_PROMPT_CACHE_MIB = 256


def main() -> None:
    """Load the model and serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    for number in ("--port", "--context", "--threads", "--slots"):
        parser.add_argument(number, type=int, required=True)
    wanted = parser.parse_args()
    for quit_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(quit_signal, lambda *_: os._exit(0))

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = wanted.model
    params.model_alias = {wanted.name}
    params.hostnames = ["127.0.0.1"]
    params.port = wanted.port
    params.api_keys = [os.environ["EMBEDDED_API_KEY"]]
    params.n_parallel = wanted.slots
    params.n_ctx = wanted.context * wanted.slots
    params.cpuparams.n_threads = wanted.threads
    params.cpuparams_batch.n_threads = wanted.threads
    params.cache_prompt = True
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.fit_params = False
    params.ui = False
    params.endpoint_slots = False
    server = xllamacpp.Server(params)
    while server:
        signal.pause()


if __name__ == "__main__":
    main()
