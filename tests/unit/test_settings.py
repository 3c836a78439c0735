"""Settings are read once, checked wholly, and a wrong one is named in one line."""

import os
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, default_home, is_loopback


def test_everything_has_a_default_below_the_home(tmp_path: Path) -> None:
    settings = Settings.from_env({"HAULIER_HOME": str(tmp_path)})
    assert settings.home == tmp_path
    assert settings.database_url == f"sqlite:///{tmp_path}/haulier.sqlite"
    assert settings.store_url == str(tmp_path / "store")
    assert settings.scheduler is None
    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8480, "off")
    assert settings.workers == (os.cpu_count() or 1)
    assert settings.input_folders == (tmp_path / "input",)


def test_a_checkout_keeps_its_data_in_the_checkout() -> None:
    assert default_home({}).parts[-2:] == ("data", "var")


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {
            "HAULIER_HOME": str(tmp_path),
            "HAULIER_DATABASE_URL": "postgresql://me@db/haulier",
            "HAULIER_SCHEDULER": "tcp://127.0.0.1:8786",
            "HAULIER_STORE_URL": "s3://bucket/prefix",
            "HAULIER_HOST": "::1",
            "HAULIER_PORT": "9000",
            "HAULIER_WORKERS": "3",
            "HAULIER_BASE_URL": "https://haulier.example/",
            "HAULIER_AUTH": "off",
            "HAULIER_INPUT_FOLDERS": os.pathsep.join(["/in/a", "/in/b"]),
            "OTHER": "ignored",
        }
    )
    assert settings.database_url == "postgresql://me@db/haulier"
    assert settings.scheduler == "tcp://127.0.0.1:8786"
    assert settings.store_url == "s3://bucket/prefix"
    assert (settings.host, settings.port, settings.workers) == ("::1", 9000, 3)
    assert settings.base_url == "https://haulier.example"
    assert settings.input_folders == (Path("/in/a"), Path("/in/b"))


def test_what_is_handed_down_reads_back_the_same(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {"HAULIER_HOME": str(tmp_path)}, port=9001, workers=2, input_folders=("/a", "/b")
    )
    assert Settings.from_env(settings.to_env()) == settings


def test_an_override_wins_and_none_does_not(tmp_path: Path) -> None:
    env = {"HAULIER_HOME": str(tmp_path), "HAULIER_PORT": "9000"}
    assert Settings.from_env(env, port=9001).port == 9001
    assert Settings.from_env(env, port=None).port == 9000


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    assert Settings.from_env({"HAULIER_HOME": str(tmp_path), "HAULIER_PORT": ""}).port == 8480


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HAULIER_PORTS", "9000", "HAULIER_PORT"),
        ("HAULIER_PORT", "http", "from 0 to 65535"),
        ("HAULIER_PORT", "70000", "from 0 to 65535"),
        ("HAULIER_PORT", "٣", "from 0 to 65535"),
        ("HAULIER_WORKERS", "0", "from 1 to 1024"),
        ("HAULIER_DATABASE_URL", "mysql://x/y", "postgresql://"),
        ("HAULIER_DATABASE_URL", "var/x.sqlite", "sqlite:///PATH"),
        ("HAULIER_SCHEDULER", "127.0.0.1:8786", "tcp://HOST:PORT"),
        ("HAULIER_STORE_URL", "s3:// bucket", "s3://BUCKET"),
        ("HAULIER_HOST", "0.0.0.0", "HAULIER_AUTH=keys is not built yet"),
        ("HAULIER_BASE_URL", "haulier.example", "http(s)://HOST"),
        ("HAULIER_BASE_URL", "https://haulier.example/prefix", "without a path"),
        ("HAULIER_AUTH", "keys", "not built yet"),
        ("HAULIER_AUTH", "of", "give off"),
        ("HAULIER_INPUT_FOLDERS", "relative/folder", "absolute"),
        ("HAULIER_WEBHOOK_SECRET", "whsec_c2hvcnQ=", "24 to 64 random bytes"),
        ("HAULIER_WEBHOOK_SECRET", "whsec_not base64!", "openssl rand -base64 32"),
        ("HAULIER_WEBHOOK_ALLOW_PRIVATE", "maybe", "yes or no"),
    ],
)
def test_a_wrong_value_is_one_line_with_name_value_and_fix(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})
    text = str(caught.value)
    assert name in text
    assert says in text
    assert "\n" not in text


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"HAULIER_PORT": "x", "HAULIER_WORKERS": "y", "HAULIER_HOOST": "z"})
    assert all(name in str(caught.value) for name in ("HAULIER_PORT", "HAULIER_WORKERS", "HAULIER_HOOST"))


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"HAULIER_DATABASE_URL": "mysql://me:secret@db/x"})
    assert "secret" not in str(caught.value)


def test_a_webhook_secret_is_shown_nowhere_and_handed_down() -> None:
    secret = "whsec_" + "c2VjcmV0" * 4
    settings = Settings.from_env({"HAULIER_WEBHOOK_SECRET": secret, "HAULIER_WEBHOOK_ALLOW_PRIVATE": "yes"})
    assert secret not in repr(settings)
    assert Settings.from_env(settings.to_env()) == settings
    assert settings.webhook_allow_private
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"HAULIER_WEBHOOK_SECRET": secret[6:]})
    assert secret[6:] not in str(caught.value)


def test_loopback_is_told_from_everything_else() -> None:
    assert all(
        is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]", "LOCALHOST")
    )
    assert not any(is_loopback(host) for host in ("0.0.0.0", "", "10.0.0.1", "localhost.evil.example", "::"))


def test_limits_have_units_and_bounds(tmp_path: Path) -> None:
    given = {"HAULIER_LEASE_SECONDS": "2.5", "HAULIER_KEEP_BYTES": "20GiB", "HAULIER_KEEP_DAYS": "0.5"}
    settings = Settings.from_env({"HAULIER_HOME": str(tmp_path), **given})
    assert (settings.lease_seconds, settings.keep_bytes, settings.keep_days) == (2.5, 20 << 30, 0.5)
    assert settings.keep_version_days == 30
    assert Settings.from_env(settings.to_env()) == settings
    for name, value, fix in (
        ("HAULIER_JOB_SECONDS", "0", "seconds as a number from 1 to"),
        ("HAULIER_STALL_SECONDS", "soon", "seconds as a number from 1 to"),
        ("HAULIER_KEEP_BYTES", "much", "such as 500000000, 500MB or 20GiB"),
    ):
        with pytest.raises(SettingsError, match=f"{name}='{value}': give .*{fix}"):
            Settings.from_env({"HAULIER_HOME": str(tmp_path), name: value})
