"""Keys, tokens and passwords: what opens a door to whoever reads it."""

from __future__ import annotations

from wayside.engines.pii.forms import Form


def is_random(text: str) -> bool:
    """Looks drawn by lot: letters and digits, many different ones, no word of a manual."""
    low = text.lower()
    if any(word in low for word in _SAMPLES):
        return False
    return any(c.isdigit() for c in text) and len(set(low)) >= min(10, len(text) // 2)


def is_password(text: str) -> bool:
    """Not a placeholder, a variable or a word about passwords."""
    low = text.lower().strip("'\"")
    if len(low) < 6 or any(word in low for word in _SAMPLES) or low.startswith(_EXPRESSIONS):
        return False
    kinds = (str.isdigit, str.isupper, str.islower)
    mixed = sum([any(kind(c) for c in text) for kind in kinds])
    return mixed + (not low.isalnum()) >= 2 and "(" not in low and not low.endswith(":")


_SAMPLES = ("example", "your", "xxxx", "placeholder", "****", "redacted", "secret_key", "changeme",
            "<", "...", "dummy", "insert")  # fmt: skip
_EXPRESSIONS = ("$", "{", "os.", "env", "process.", "config", "self.", "none", "null", "%",
                "input", "get", "str", "string", "field", "requir", "getpass")  # fmt: skip

FORMS = (
    Form("SECRET", r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}\b", 0.98),  # AWS
    Form("SECRET", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b", 0.99),
    Form("SECRET", r"\bglpat-[A-Za-z0-9_-]{20,}", 0.98),  # GitLab
    Form("SECRET", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", 0.98),  # Slack
    Form("SECRET", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\b", 0.98),  # Stripe
    Form("SECRET", r"\bsk-(?:proj-|ant-|or-|svcacct-)?[A-Za-z0-9_-]{20,}", 0.95, is_random),
    Form("SECRET", r"\bAIza[A-Za-z0-9_-]{35}", 0.98),  # Google
    Form("SECRET", r"\b(?:hf_[A-Za-z]{30,40}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})", 0.95),
    Form("SECRET", r"\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}", 0.98),  # SendGrid
    Form("SECRET", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
         0.98),  # JSON web token
    Form("SECRET", r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:[^-]*"
         r"-----END (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?", 0.99),
    Form("SECRET", r"(?i)(?:\b|_)(?:api[_ -]?key|secret[_ -]?key|access[_ -]?key"
         r"|access[_ -]?token|"
         r"auth[_ -]?token|client[_ -]?secret|bearer)\b[\"']?[ ]?(?:[:=]|is)?[ ]?[\"']?"
         r"([A-Za-z0-9_\-./+=]{16,})", 0.8, is_random),
    Form("SECRET", r"(?i)(?:\b(?:password|passwd|pwd|passphrase|passwort|kennwort|contraseña"
         r"|senha|"
         r"wachtwoord|hasło|mot de passe)|пароль|密码|パスワード)[\"']?(?: is| ist| es| est| é"
         r"|是|は)?"
         r"[ ]?(?:[:=：])?[ ]?[\"']?([^\s\"',;]+)", 0.75, is_password),
    Form("SECRET", r"(?i)[a-z0-9]://[^\s:/@]+:([^\s:/@]+)@", 0.99,
         lambda text: not text.startswith(("$", "{", "<"))),
)  # fmt: skip
