import io

from rich.console import Console

from llama_service.runtime.progress import ConsoleProgress


def test_plain_lines_without_a_terminal() -> None:
    output = io.StringIO()
    with ConsoleProgress(Console(file=output)) as progress:
        progress.begin("Model", "assembling [weights]")
        for done in range(0, 101, 5):
            progress.advance("Model", done, 100)
        progress.finish("Model", "a.gguf")
        progress.skip("Embeddings", "not installed")
    lines = output.getvalue().splitlines()
    assert lines[0] == "Model: assembling [weights]"
    assert lines[1:11] == [f"Model: {share} %" for share in range(10, 101, 10)]
    assert lines[11].startswith("Model: ready after 0.0 s (a.gguf)")
    assert lines[12] == "Embeddings: left out: not installed"


def test_a_table_on_a_terminal_and_lines_after_it() -> None:
    output = io.StringIO()
    with ConsoleProgress(Console(file=output, force_terminal=True, width=100)) as progress:
        progress.begin("Postgres", "starting the database")
        progress.finish("Postgres")
        progress.begin("Model", "loading")
        progress.advance("Model", 1, 2)
        progress.close()
        shown = output.getvalue()
        progress.finish("Model", "a.gguf")
    assert "✓" in shown
    assert "starting the database" in shown
    assert "Model: ready" in output.getvalue()[len(shown) :]
