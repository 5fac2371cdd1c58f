from miner.machine.environment import environment


def test_environment_does_without_git(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert environment()["git_commit"] is None
