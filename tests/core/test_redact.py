from core.redact import REPLACEMENT, redactor, secrets

CANARY = "canary-5f2e91"


def test_values_of_secret_variables_are_removed_from_any_json():
    clean = redactor({"HF_TOKEN": CANARY, "HOME": "/root", "PREFECT_API_AUTH_STRING": "admin:correct-horse", "MY_PASSWORD": "ab"})
    value = {"message": f"got {CANARY}!", CANARY: [1, None, f"x{CANARY}", {"deep": "correct-horse"}], "home": "/root about"}
    assert clean(value) == {
        "message": f"got {REPLACEMENT}!", REPLACEMENT: [1, None, f"x{REPLACEMENT}", {"deep": REPLACEMENT}], "home": "/root about",
    }  # fmt: skip
    assert clean("admin:correct-horse") == REPLACEMENT, "the whole before its part"


def test_passwords_in_urls_are_removed_whatever_they_are_called():
    clean = redactor({})
    assert (
        clean("postgresql://bob:hunter2@db/x and https://example.org/a@b") == f"postgresql://{REPLACEMENT}@db/x and https://example.org/a@b"
    )
    assert secrets({}) == []
