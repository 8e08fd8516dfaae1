"""Values of personal data and secrets, written from the rules of each kind, for the labelled set of `pii.py`.

Nothing here is taken from the detectors: check digits are computed forwards, from the rules of whoever issues the
number, and forms are those that people of a country write. All values are drawn at random; those of real people can
only be met by chance.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
import zlib

DIGITS = string.digits
UPPER = string.ascii_uppercase
LETTERS_DIGITS = string.ascii_letters + string.digits
URLSAFE = LETTERS_DIGITS + "-_"
HEX = "0123456789abcdef"
FIRST = [
    "anna",
    "maria",
    "lukas",
    "jean",
    "sofia",
    "giulia",
    "pieter",
    "emma",
    "noah",
    "carlos",
    "chiara",
    "willem",
    "claire",
    "hans",
    "ines",
    "tom",
]
LAST = [
    "mueller",
    "smith",
    "dubois",
    "garcia",
    "rossi",
    "devries",
    "janssen",
    "brown",
    "lefevre",
    "martinez",
    "bianchi",
    "bakker",
    "weber",
    "jones",
]
HOSTS = [
    "example-shop",
    "mail-online",
    "nordwind",
    "castell",
    "azulnet",
    "fermi",
    "kaasland",
    "brightwater",
    "uni-west",
    "stadtwerk",
]
ENDS = ["com", "de", "fr", "es", "it", "nl", "org", "net", "co.uk", "io", "photography", "eu", "info"]


def some(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def email(rng: random.Random) -> str:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    number = str(rng.randint(1, 99))
    local = rng.choice(
        [f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}{number}", f"{first}+{last}", f"{last}-{first}", first]
    )
    host = rng.choice(["", "", "", "mail.", "post."]) + rng.choice(HOSTS) + "." + rng.choice(ENDS)
    return rng.choice([str.lower, str.lower, str.lower, str.title, str.upper])(f"{local}@{host}")


def phone(rng: random.Random, language: str) -> str:
    """As written in the country of a language; every second with its country code."""
    return PHONES[language](rng)


def _phone_en(rng: random.Random) -> str:
    if rng.random() < 0.5:
        area, office, line = str(rng.randint(201, 989)), str(rng.randint(200, 999)), some(rng, DIGITS, 4)
        while area[1:] == "11" or area[1] == "9":
            area = str(rng.randint(201, 989))
        forms = ["({a}) {o}-{l}", "{a}-{o}-{l}", "{a}.{o}.{l}", "+1 {a} {o} {l}", "+1-{a}-{o}-{l}", "+1 ({a}) {o}-{l}"]
        return rng.choice([*forms, "1-{a}-{o}-{l}", "+1{a}{o}{l}"]).format(a=area, o=office, l=line)
    mobile, london = f"7{some(rng, DIGITS, 3)}", f"20 {rng.choice('378')}{some(rng, DIGITS, 3)}"
    town = f"1{rng.randint(2, 9)}{some(rng, DIGITS, 2)}"
    body = rng.choice(
        [f"{mobile} {some(rng, DIGITS, 6)}", f"{london} {some(rng, DIGITS, 4)}", f"{town} {some(rng, DIGITS, 6)}"]
    )
    return rng.choice(["0", "0", "+44 ", "+44 (0)", "0044 "]) + body


def _phone_de(rng: random.Random) -> str:
    mobile = f"1{rng.choice(['51', '60', '70', '71', '72', '76', '79'])}"
    area = rng.choice([mobile, mobile, "30", "40", "89", "221", "711", "6221", "5251"])
    # At most eleven digits after the 0, as the Bundesnetzagentur sets them.
    number = some(rng, "123456789", 1) + some(rng, DIGITS, rng.choice([6, 6, 7]) - (len(area) > 3))
    pairs = f"{number[:-4]} {number[-4:-2]} {number[-2:]}"
    return rng.choice(
        [
            f"0{area} {number}",
            f"0{area}/{number}",
            f"0{area}-{number}",
            f"(0{area}) {pairs}",
            f"0{area}{number}",
            f"+49 {area} {number}",
            f"+49{area}{number}",
            f"0049 {area} {number}",
            f"+49 (0){area} {pairs}",
        ]
    )


def _phone_fr(rng: random.Random) -> str:
    first, pairs = rng.choice("1234567"), [some(rng, DIGITS, 2) for _ in range(4)]
    return rng.choice(
        [
            f"0{first} {' '.join(pairs)}",
            f"0{first}.{'.'.join(pairs)}",
            f"0{first}{''.join(pairs)}",
            f"+33 {first} {' '.join(pairs)}",
            f"+33{first}{''.join(pairs)}",
            f"0033 {first} {' '.join(pairs)}",
        ]
    )


def _phone_es(rng: random.Random) -> str:
    number = (
        rng.choice("67") + some(rng, DIGITS, 8) if rng.random() < 0.7 else rng.choice("89") + some(rng, "1234567", 8)
    )
    thirds = f"{number[:3]} {number[3:6]} {number[6:]}"
    pairs = f"{number[:3]} {number[3:5]} {number[5:7]} {number[7:]}"
    return rng.choice([thirds, pairs, thirds.replace(" ", "-"), f"+34 {thirds}", f"+34{number}", f"0034 {pairs}"])


def _phone_it(rng: random.Random) -> str:
    mobile, number = f"3{rng.randint(20, 99)}", some(rng, DIGITS, 7)
    line = f"0{rng.choice(['2', '6', '11', '51', '55', '81'])}"
    return rng.choice(
        [
            f"{mobile} {number}",
            f"{mobile} {number[:3]} {number[3:]}",
            f"{mobile}-{number}",
            f"{line} {number}",
            f"{line}-{number}",
            f"+39 {mobile} {number}",
            f"+39 {line} {number}",
            f"+39{mobile}{number}",
        ]
    )


def _phone_nl(rng: random.Random) -> str:
    number, line = some(rng, "12345678", 1) + some(rng, DIGITS, 7), rng.choice(["20", "10", "70", "30"])
    pairs = " ".join(number[place : place + 2] for place in range(0, 8, 2))
    return rng.choice(
        [
            f"06-{number}",
            f"06 {number}",
            f"06 {pairs}",
            f"06{number}",
            f"0{line}-{number[:7]}",
            f"0{line} {number[:7]}",
            f"+31 6 {number}",
            f"+316{number}",
            f"+31 {line} {number[:7]}",
            f"0031 6 {number}",
        ]
    )


PHONES = {"en": _phone_en, "de": _phone_de, "fr": _phone_fr, "es": _phone_es, "it": _phone_it, "nl": _phone_nl}

BBAN = {
    "DE": "18n",
    "FR": "10n11c2n",
    "ES": "20n",
    "IT": "1a10n12c",
    "NL": "4a10n",
    "GB": "4a14n",
    "AT": "16n",
    "BE": "12n",
    "CH": "5n12c",
    "PL": "24n",
    "PT": "21n",
    "IE": "4a14n",
    "LU": "3n13c",
    "DK": "14n",
    "NO": "11n",
    "SE": "20n",
    "MT": "4a5n18c",
}
"""Structure of national account numbers in the IBAN registry: n digits, a capitals, c either."""


def iban(rng: random.Random) -> str:
    country = rng.choice(list(BBAN))
    body, count = "", ""
    for character in BBAN[country]:
        if character.isdigit():
            count += character
        else:
            body += some(rng, {"n": DIGITS, "a": UPPER, "c": DIGITS + UPPER}[character], int(count))
            count = ""
    as_number = "".join(str(ord(one) - 55) if one.isalpha() else one for one in f"{body}{country}00")
    whole = f"{country}{98 - int(as_number) % 97:02d}{body}"
    groups = " ".join(whole[place : place + 4] for place in range(0, len(whole), 4))
    return rng.choice([whole, groups, groups])


def _luhn_digit(body: str) -> str:
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body))]
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(
        [
            ("4", 16),
            ("4", 16),
            (str(rng.randint(51, 55)), 16),
            (str(rng.randint(2221, 2720)), 16),
            ("6011", 16),
            (rng.choice(["34", "37"]), 15),
            ("36", 14),
            (str(rng.randint(3528, 3589)), 16),
        ]
    )
    body = prefix + some(rng, DIGITS, length - len(prefix) - 1)
    digits = body + _luhn_digit(body)
    cuts = [4, 10] if length < 16 else [4, 8, 12]
    groups = [digits[low:high] for low, high in zip([0, *cuts], [*cuts, length], strict=True)]
    return rng.choice(["", " ", " ", "-"]).join(groups)


def ip(rng: random.Random) -> str:
    if rng.random() < 0.7:
        first = rng.choice([10, 172, 192, *rng.sample([one for one in range(34, 223) if one != 127], 6)])
        return ".".join(map(str, (first, rng.randint(0, 255), rng.randint(0, 255), rng.randint(1, 254))))
    groups = [rng.choice(["2a02", "2001", "fe80", "2600"]), *(f"{rng.randint(1, 65535):x}" for _ in range(7))]
    if groups[0] == "2001":
        groups[1] = "67c"
    return ":".join(groups) if rng.random() < 0.5 else ":".join(groups[:3]) + "::" + ":".join(groups[5:])


def mac(rng: random.Random) -> str:
    pairs = [f"{rng.choice(range(0, 256, 4)):02x}", *(f"{rng.randint(0, 255):02x}" for _ in range(5))]
    written = rng.choice(
        [":".join(pairs), ":".join(pairs), "-".join(pairs), ".".join("".join(pairs[i : i + 2]) for i in (0, 2, 4))]
    )
    return rng.choice([written, written.upper()])


def us_ssn(rng: random.Random) -> str:
    area = rng.choice([number for number in range(1, 900) if number != 666])
    return f"{area:03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def uk_nino(rng: random.Random) -> str:
    prefix = rng.choice(["AB", "CE", "GH", "JK", "LM", "PR", "SX", "WA", "YZ", "HT"])
    pairs = [some(rng, DIGITS, 2) for _ in range(3)]
    return rng.choice(["", " "]).join([prefix, *pairs, rng.choice("ABCD")])


def uk_nhs(rng: random.Random) -> str:
    while True:
        body = some(rng, DIGITS, 9)
        check = (11 - sum(int(digit) * (10 - place) for place, digit in enumerate(body)) % 11) % 11
        if check != 10:
            return rng.choice([f"{body[:3]} {body[3:6]} {body[6:]}{check}", f"{body}{check}"])


def de_tax_id(rng: random.Random) -> str:
    """Ten digits of which one comes twice and one not at all, none first zero; then the check digit of ISO 7064."""
    while True:
        digits = rng.sample(DIGITS, 9)
        digits.append(rng.choice(digits))
        rng.shuffle(digits)
        if digits[0] != "0":
            break
    carry = 10
    for digit in digits:
        carry = ((int(digit) + carry) % 10 or 10) * 2 % 11
    whole = "".join(digits) + str((11 - carry) % 10)
    return rng.choice([whole, f"{whole[:2]} {whole[2:5]} {whole[5:8]} {whole[8:]}"])


def fr_nir(rng: random.Random) -> str:
    department = rng.choice([f"{rng.randint(1, 95):02d}", "2A", "2B"])
    parts = [rng.choice("12"), f"{rng.randint(40, 99)}", f"{rng.randint(1, 12):02d}", department]
    parts += [f"{rng.randint(1, 900):03d}", f"{rng.randint(1, 999):03d}"]
    number = int("".join(parts).replace("2A", "19").replace("2B", "18"))
    return rng.choice(["", " "]).join([*parts, f"{97 - number % 97:02d}"])


def es_dni(rng: random.Random) -> str:
    number = rng.randint(10_000_000, 99_999_999)
    return f"{number}{rng.choice(['', '', '-'])}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def es_nie(rng: random.Random) -> str:
    first, number = rng.randint(0, 2), rng.randint(0, 9_999_999)
    gap = rng.choice(["", "", "-"])
    return f"{'XYZ'[first]}{gap}{number:07d}{gap}{'TRWAGMYFPDXBNJZSQVHLCKE'[(first * 10_000_000 + number) % 23]}"


def it_codice_fiscale(rng: random.Random) -> str:
    consonants = "BCDFGLMNPRSTV"
    day = rng.randint(1, 31) + rng.choice([0, 40])
    body = some(rng, consonants, 6) + f"{rng.randint(30, 99)}{rng.choice('ABCDEHLMPRST')}{day:02d}"
    body += rng.choice("ABCDEFGHILZ") + some(rng, DIGITS, 3)
    odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
    values = [ord(one) - (65 if one.isalpha() else 48) for one in body]
    return body + UPPER[sum(odd[value] if place % 2 == 0 else value for place, value in enumerate(values)) % 26]


def nl_bsn(rng: random.Random) -> str:
    while True:
        body = some(rng, "123456789", 1) + some(rng, DIGITS, 7)
        check = sum(int(digit) * (9 - place) for place, digit in enumerate(body)) % 11
        if check < 10:
            return f"{body}{check}"


def pl_pesel(rng: random.Random) -> str:
    body = f"{rng.randint(40, 99)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{some(rng, DIGITS, 4)}"
    total = sum(int(digit) * weight for digit, weight in zip(body, [1, 3, 7, 9] * 3, strict=False))
    return f"{body}{-total % 10}"


def ch_ahv(rng: random.Random) -> str:
    body = "756" + some(rng, DIGITS, 9)
    check = -sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body)) % 10
    return f"{body[:3]}.{body[3:7]}.{body[7:11]}.{body[11:]}{check}"


def be_nrn(rng: random.Random) -> str:
    body = f"{rng.randint(40, 99)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{rng.randint(1, 997):03d}"
    check = 97 - int(body) % 97
    return f"{body[:2]}.{body[2:4]}.{body[4:6]}-{body[6:]}.{check:02d}"


def btc_address(rng: random.Random) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    payload = rng.choice([b"\x00", b"\x05"]) + rng.randbytes(20)
    whole = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, written = int.from_bytes(whole, "big"), ""
    while number:
        number, place = divmod(number, 58)
        written = alphabet[place] + written
    return "1" * (len(whole) - len(whole.lstrip(b"\0"))) + written


def eth_address(rng: random.Random) -> str:
    return "0x" + some(rng, HEX + "ABCDEF", 40)


def jwt(rng: random.Random) -> str:
    parts = [
        {"alg": "HS256", "typ": "JWT"},
        {"sub": str(rng.randint(1, 10**9)), "exp": rng.randint(1_600_000_000, 1_900_000_000)},
    ]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, some(rng, URLSAFE, 43)])


def url_credentials(rng: random.Random) -> str:
    """User and password only: the URL around them is nobody's."""
    return f"{rng.choice(['admin', 'app_user', 'svc-report'])}:{some(rng, LETTERS_DIGITS, rng.randint(8, 20))}"


def private_key(rng: random.Random) -> str:
    label = rng.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
    lines = "\n".join(some(rng, LETTERS_DIGITS + "+/", 64) for _ in range(rng.randint(3, 12)))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----"


def github_token(rng: random.Random) -> str:
    body = some(rng, LETTERS_DIGITS, 30)
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, place = divmod(number, 62)
        check = (DIGITS + UPPER + string.ascii_lowercase)[place] + check
    return f"{rng.choice(['ghp', 'gho', 'ghs'])}_{body}{check}"


PROVIDERS = {
    "openai-key": lambda rng: f"sk-proj-{some(rng, URLSAFE, 74)}T3BlbkFJ{some(rng, URLSAFE, 74)}",
    "anthropic-key": lambda rng: f"sk-ant-api03-{some(rng, URLSAFE, 93)}AA",
    "aws-key": lambda rng: f"AKIA{some(rng, UPPER + '234567', 16)}",
    "google-key": lambda rng: f"AIzaSy{some(rng, URLSAFE, 33)}",
    "github-token": github_token,
    "gitlab-token": lambda rng: f"glpat-{some(rng, URLSAFE, 20)}",
    "slack-token": lambda rng: f"xoxb-{some(rng, DIGITS, 12)}-{some(rng, DIGITS, 12)}-{some(rng, LETTERS_DIGITS, 24)}",
    "stripe-key": lambda rng: f"sk_live_{some(rng, LETTERS_DIGITS, 24)}",
    "huggingface-token": lambda rng: f"hf_{some(rng, string.ascii_letters, 34)}",
    "sendgrid-key": lambda rng: f"SG.{some(rng, URLSAFE, 22)}.{some(rng, URLSAFE, 43)}",
    "twilio-key": lambda rng: f"SK{some(rng, HEX, 32)}",
    "telegram-token": lambda rng: f"{some(rng, '123456789', 1)}{some(rng, DIGITS, 9)}:AA{some(rng, URLSAFE, 33)}",
}


def assigned_secret(rng: random.Random) -> str:
    return rng.choice([some(rng, HEX, 32), some(rng, LETTERS_DIGITS, 24), some(rng, LETTERS_DIGITS, 40)])


def hard_negative(rng: random.Random) -> str:
    """Numbers and strings that are nobody's, of the sorts that detectors take for somebody's."""
    return rng.choice(NEGATIVES)(rng)


def _isbn(rng: random.Random) -> str:
    body = "978" + some(rng, DIGITS, 9)
    check = -sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body)) % 10
    return f"ISBN {body[:3]}-{body[3]}-{body[4:7]}-{body[7:]}-{check}"


def _price(rng: random.Random) -> str:
    thousands = f"{rng.randint(1, 999)}{rng.choice([',', '.', ' '])}{some(rng, DIGITS, 3)}"
    return rng.choice([f"${thousands}.{some(rng, DIGITS, 2)}", f"{thousands} €", f"EUR {rng.randint(100, 99999)},00"])


def _day(rng: random.Random) -> str:
    return f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


NEGATIVES = (
    lambda rng: f"order {rng.choice(['#', 'no. ', ''])}{some(rng, DIGITS, rng.choice([8, 9, 10, 12, 16]))}",
    lambda rng: f"Bestellnummer {some(rng, DIGITS, 10)}",
    lambda rng: f"facture {some(rng, DIGITS, 9)}",
    lambda rng: f"pedido {some(rng, DIGITS, 8)}",
    lambda rng: some(rng, HEX, rng.choice([32, 40, 64])),
    lambda rng: f"v{rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 99)}",
    lambda rng: f"version {rng.randint(0, 20)}.{rng.randint(0, 20)}.{rng.randint(0, 9999)}",
    lambda rng: f"{rng.randint(1, 28):02d}.{rng.randint(1, 12):02d}.{rng.randint(1990, 2030)}",
    lambda rng: _day(rng) + f" {rng.randint(10, 23)}:{rng.randint(10, 59)}:{rng.randint(10, 59)}",
    _isbn,
    lambda rng: str(rng.randint(1_500_000_000, 1_900_000_000)),
    lambda rng: str(rng.randint(1_500_000_000_000, 1_900_000_000_000)),
    lambda rng: str(uuid.UUID(bytes=rng.randbytes(16), version=4)),
    _price,
    lambda rng: f"{rng.uniform(0, 1):.9f}",
    lambda rng: f"{rng.uniform(-90, 90):.6f}, {rng.uniform(-180, 180):.6f}",
    lambda rng: f"{rng.randint(100, 4000)}x{rng.randint(100, 4000)}",
    lambda rng: f"icon@{rng.randint(2, 3)}x.png",
    lambda rng: f"react@{rng.randint(1, 19)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}",
    lambda rng: f"std::vector<int>::size_type x{rng.randint(1, 9)}",
    lambda rng: f"API_KEY = os.environ['{rng.choice(['OPENAI', 'STRIPE'])}_API_KEY']",
    lambda rng: "127.0.0.1",
    lambda rng: "token_count = 1024",
    lambda rng: f"{rng.randint(1, 12)}:{rng.randint(10, 59)}:{rng.randint(10, 59)}",
    lambda rng: " ".join(str(rng.randint(0, 99)) for _ in range(rng.randint(5, 12))),
    lambda rng: f"EAN {some(rng, DIGITS, 13)}",
    lambda rng: some(rng, DIGITS, rng.choice([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18])),
    lambda rng: f"{some(rng, UPPER, 2)}{some(rng, DIGITS, 6)}{some(rng, UPPER, rng.choice([0, 1, 2]))}",
    lambda rng: f"{some(rng, UPPER, 3)}-{some(rng, DIGITS, 4)}-{some(rng, DIGITS, 4)}",
    lambda rng: f"{some(rng, DIGITS, 3)} {some(rng, DIGITS, 3)} {some(rng, DIGITS, 3)}",
    lambda rng: f"10.{rng.randint(0, 255)}.0.0/16",
    lambda rng: f"section {rng.randint(1, 9)}.{rng.randint(1, 99)}.{rng.randint(1, 99)}.{rng.randint(1, 99)}",
    lambda rng: json.dumps({"id": rng.randint(10**8, 10**12), "total": round(rng.uniform(1, 9999), 2)}),
    lambda rng: ", ".join(f"{rng.uniform(-9, 9):.4f}" for _ in range(6)),
    lambda rng: f"secret_name: {rng.choice(['prod-database', 'github-actions-token', 'payments.api-key.2024'])}",
    lambda rng: f"sha256:{some(rng, HEX, 64)}",
    lambda rng: base64.b64encode(rng.randbytes(30)).decode(),
    lambda rng: f"/usr/lib/python3.{rng.randint(8, 14)}/{some(rng, string.ascii_lowercase, 8)}/__init__.py",
    lambda rng: f"telephone exchange built in {rng.randint(1900, 1990)}",
    lambda rng: f"arXiv:{rng.randint(10, 25):02d}{rng.randint(1, 12):02d}.{some(rng, DIGITS, 5)}",
    lambda rng: f"doi:10.{rng.randint(1000, 9999)}/{some(rng, DIGITS, 7)}.{some(rng, DIGITS, 7)}",
    lambda rng: f"tracking 1Z{some(rng, UPPER + DIGITS, 16)}",
)
