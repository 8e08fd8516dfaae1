"""Texts with one value each, texts with none, and a strategy that mixes values with anything."""

from __future__ import annotations

import base64
import zlib

from hypothesis import strategies as st

A40 = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ2bC4dF6hJ8kL0n"
HEX32 = "9f86d081884c7d659a2feaa0c55ad015"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890"}', bytes(range(32)))
)
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1c7\nqGb/+w==\n-----END RSA PRIVATE KEY-----"


def _github(body: str) -> str:
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, place = divmod(number, 62)
        check = alphabet[place] + check
    return f"ghp_{body}{check}"


VALUES: list[tuple[str, str, str]] = [
    ("email", "Write to {} today.", "anna.mueller+shop@mail.beispiel.de"),
    ("email", "<{}>", "O.Brien@example.co.uk"),
    ("email", "it is {}.", "jane (at) example (dot) org"),
    ("phone", "Call {} or write", "+49 171 2345678"),
    ("phone", "mobile {}", "+44 (0)7911 123456"),
    ("phone", "{}", "(415) 555-2671"),
    ("phone", "Meine Telefonnummer: {}.", "030 1234567"),
    ("phone", "tél. {}", "06 12 34 56 78"),
    ("phone", "móvil {}", "612 345 678"),
    ("phone", "cellulare: {}", "347 1234567"),
    ("phone", "bel {}", "06-12345678"),
    ("phone", '"phone": {},', "1712345678"),
    ("iban", "to {} please", "DE89 3704 0044 0532 0130 00"),
    ("iban", "IBAN:{}", "GB29NWBK60161331926819"),
    ("iban", "{} until May", "FR14 2004 1010 0505 0001 3M02 606"),
    ("card", "{} exp 12/26", "4111 1111 1111 1111"),
    ("card", "amex {}", "378282246310005"),
    ("card", "{}", "5555-5555-5555-4444"),
    ("ip", "from {} port 22", "83.12.4.9"),
    ("ip", "[{}]", "2a02:8108::8a2e:370:7334"),
    ("mac", "eth0 {}", "3c:22:fb:aa:01:9f"),
    ("mac", "{}.", "3c22.fbaa.019f"),
    ("date-of-birth", "born on {}", "March 5, 1971"),
    ("date-of-birth", "geboren am {} in", "3. März 1990"),
    ("date-of-birth", "née le {}", "12/03/1985"),
    ("date-of-birth", "fecha de nacimiento: {}", "5 de mayo de 1980"),
    ("date-of-birth", '"date_of_birth": "{}"', "1985-03-12"),
    ("btc-address", "{}", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("btc-address", "to {}!", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    ("eth-address", "{}", "0x52908400098527886E0F7030069857D2E4169EE7"),
    ("us-ssn", "{}", "219-09-9999"),
    ("uk-nino", "NI number {}", "AB 12 34 56 C"),
    ("uk-nhs", "NHS number {}", "943 476 5919"),
    ("de-tax-id", "Steuer-ID {}", "86 095 742 719"),
    ("fr-nir", "{}", "1 85 05 78 006 084 91"),
    ("es-dni", "{}", "12345678Z"),
    ("es-nie", "{}", "X1234567L"),
    ("it-codice-fiscale", "{}", "RSSMRA85T10A562S"),
    ("nl-bsn", "BSN: {}", "111222333"),
    ("nl-bsn", "{} (BSN)", "111222333"),
    ("pl-pesel", "{}", "44051401359"),
    ("be-nrn", "{}", "85.07.30-033.28"),
    ("ch-ahv", "AHV {}", "756.9217.0769.85"),
    ("br-cpf", "CPF {}", "529.982.247-25"),
    ("private-key", "key:\n{}\n", PEM),
    ("jwt", "it says {}", JWT),
    ("url-credentials", "postgres://{}@db.internal:5432/app", "admin:s3cr3tpw"),
    ("bearer-token", "Authorization: Bearer {}", "mF9xB5fQ1JqMw7zL2kT4cV8n"),
    ("assigned-secret", 'api_key = "{}"', "9f8Ab72kLmQ0zXy4Tp1c"),
    ("assigned-secret", "Passwort: {}", "Hunter2-9x"),
    ("assigned-secret", "export CLIENT_SECRET={}", HEX32),
    ("openai-key", "use {} here", f"sk-proj-{A40}"),
    ("anthropic-key", "{}", f"sk-ant-api03-{A40}"),
    ("aws-key", "{}", "AKIAIOSFODNN7EXAMPLE"),
    ("google-key", "{}", f"AIza{A40[:35]}"),
    ("github-token", "{}", _github(A40[:30])),
    ("github-token", "{}", f"github_pat_{A40[:22]}_{A40}{A40[:19]}"),
    ("gitlab-token", "{}", f"glpat-{A40[:20]}"),
    ("slack-token", "{}", f"xoxb-123456789012-{A40[:24]}"),
    ("slack-token", "https://hooks.slack.com/services/{}", f"T024F8X/B01/{A40[:24]}"),
    ("stripe-key", "{}", f"sk_live_{A40[:24]}"),
    ("huggingface-token", "{}", f"hf_{A40[:34]}"),
    ("npm-token", "{}", f"npm_{A40[:36]}"),
    ("pypi-token", "{}", f"pypi-AgEIcHlwaS5vcmc{A40}{A40}"),
    ("telegram-token", "{}", f"1234567890:A{A40[:34]}"),
    ("twilio-key", "{}", f"SK{HEX32}"),
    ("sendgrid-key", "{}", f"SG.{A40[:22]}.{A40}abc"),
    ("digitalocean-token", "{}", f"dop_v1_{HEX32}{HEX32}"),
    ("databricks-token", "{}", f"dapi{HEX32}"),
    ("groq-key", "{}", f"gsk_{A40}{A40[:12]}"),
    ("freehold-key", "{}", f"fh-{A40[:32]}"),
    ("azure-key", "AccountName=x;AccountKey={};", f"{A40}{A40}abcdef=="),
]
FOUND = [(kind, template.format(value), value) for kind, template, value in VALUES]

NOBODYS = [
    "Order 4111111111111111, Bestellnummer 0171234567, facture 061234567",
    "ISBN 978-3-16-148410-0 and ISBN 0-306-40615-2",
    "on 2024-05-06 12:33:44, 05.12.2024 10:30, at 1700000000 or 1700000000123",
    "550e8400-e29b-41d4-a716-446655440000",
    "d41d8cd98f00b204e9800998ecf8427e e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "v1.2.3.4, version 10.0.19.45, section 3.12.40.2",
    "$1,234,567.89, 612 345 678 €, EUR 930 123 456",
    "127.0.0.1 255.255.255.0 0.0.0.0 ::1 10.0.0.0/8 192.168.0.0/16 192.0.2.7 2001:db8::1",
    "std::vector<int>::iterator a::b 12:34:56",
    "icon@2x.png, react@18.2.0, git@github.com:org/repo.git, @mention",
    "api_key = os.environ['OPENAI_API_KEY']; token = get_token(); secret: ${SECRET}; password: hunter",
    "postgres://user:password@localhost/db https://host:8080/path",
    "github-actions-token sk-learn-compatible-estimators-in-python azurerm_resource_group_name",
    "born in 1985, meeting on March 5, 2024",
    "3.14159265358979 0.6123456789 48.858370, 2.294481",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "123456789 98765432 (no word beside them)",
    "for each cell in the matrix below:\n1 1 1 1 0 1 1\n1 1 0 1 0 1 1",
    "677 814 838 946 1000, 600-198-209=193, (1.548)+9.525-6.743 = ?, s = 0101001010",
    "A video call started at 2358-04-20 22:30:59",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
]

_PIECES = st.one_of(
    st.sampled_from([text for _, text, _ in FOUND]),
    st.sampled_from([value for _, _, value in FOUND]),
    st.sampled_from(NOBODYS),
    st.text(max_size=12),
    st.sampled_from(
        [" ", "\n", "-", ".", "@", "+", "0", "\\n", "\\", '"', "[", "]", "://", "phone ", "12 345 67", "\ufffc", "X"]
    ),
)


def texts_with_values() -> st.SearchStrategy[str]:
    """Values, their neighbours and rubbish, one right after the other."""
    return st.lists(_PIECES, max_size=6).map("".join)
