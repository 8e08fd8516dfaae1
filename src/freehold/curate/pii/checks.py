"""Check digits and checksums: what tells a number from one that only looks like it. All functions are pure.

Sources, by name: Luhn (ISO/IEC 7812-1), IBAN's mod 97 (ISO 13616, ISO/IEC 7064), mod 11,10 (ISO/IEC 7064), the
national numbers as their authorities publish them, Base58Check (Bitcoin), Bech32 and Bech32m (BIP 173, BIP 350).
"""

from __future__ import annotations

import hashlib
import zlib

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONSTANTS = (1, 0x2BC830A3)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_FISCAL_ODD = {
    **dict(zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True)),
    **dict(zip("ABCDEFGHIJ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True)),
    **dict(zip("KLMNOPQRSTUVWXYZ", (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True)),
}


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = ord(character) - 48
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def iban(compact: str) -> bool:
    """Whether an IBAN without blanks, in capitals, has the right check digits (not whether its length is right)."""
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """ISO/IEC 7064 mod 11,10, as in the German tax id."""
    product = 10
    for character in digits[:-1]:
        total = (int(character) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The sum of digits, each times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def german_tax_id(digits: str) -> bool:
    """Eleven digits: of the first ten one occurs two or three times, all others at most once; then mod 11,10."""
    counts = sorted((digits[:10].count(digit) for digit in set(digits[:10])), reverse=True)
    return digits[0] != "0" and counts[0] in (2, 3) and counts[1] == 1 and mod_11_10(digits)


def french_nir(number: str) -> bool:
    """Fifteen characters; the departments 2A and 2B count as 19 and 18, and the key is 97 less the rest of 97."""
    body = number[:13].replace("2A", "19").replace("2B", "18") if number[5:7] in ("2A", "2B") else number[:13]
    return body.isdigit() and 97 - int(body) % 97 == int(number[13:])


def spanish_letter(digits: str, letter: str) -> bool:
    """The letter of a DNI (eight digits), or of a NIE with its X, Y or Z written as 0, 1 or 2."""
    return _DNI_LETTERS[int(digits) % 23] == letter


def codice_fiscale(code: str) -> bool:
    """Sixteen capitals and digits; the last is the check letter."""
    odd = sum(_FISCAL_ODD[character] for character in code[0:15:2])
    even = sum(int(character) if character.isdigit() else ord(character) - 65 for character in code[1:15:2])
    return chr(65 + (odd + even) % 26) == code[15]


def dutch_bsn(digits: str) -> bool:
    """Nine digits, the eleven test: weights 9 to 2, and −1 for the last."""
    return digits != "000000000" and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def polish_pesel(digits: str) -> bool:
    """Eleven digits: year, month (with the century added in twenties), day, serial, check digit."""
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    dated = 1 <= month <= 12 and 1 <= day <= 31
    return dated and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def british_nhs(digits: str) -> bool:
    """Ten digits: weights 10 to 2, mod 11."""
    check = 11 - weighted(digits[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return check != 10 and check % 11 == int(digits[9])


def belgian_number(digits: str) -> bool:
    """Eleven digits; since 2000 a 2 is put before the nine that are divided by 97."""
    rest = int(digits[9:])
    return any(97 - int(century + digits[:9]) % 97 == rest for century in ("", "2"))


def swiss_ahv(digits: str) -> bool:
    """Thirteen digits from 756, with the check digit of EAN-13."""
    return digits.startswith("756") and weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def brazilian_cpf(digits: str) -> bool:
    """Eleven digits, of which the last two check the others; all the same is none."""

    def check(part: str) -> int:
        rest = weighted(part, tuple(range(len(part) + 1, 1, -1))) * 10 % 11
        return rest % 10

    return len(set(digits)) > 1 and digits[9:] == f"{check(digits[:9])}{check(digits[:10])}"


def base58_check(address: str) -> bool:
    """Whether the last four of the 25 bytes are the first of the others' double SHA-256."""
    number = 0
    for character in address:
        number = number * 58 + _BASE58.index(character)
    if number >= 1 << 200:
        return False
    whole = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(whole[:21]).digest()).digest()[:4] == whole[21:]


def bech32(address: str) -> bool:
    """Whether a Bech32 or Bech32m address, in lower case, has the right checksum."""
    prefix, _, data = address.rpartition("1")
    values = [ord(character) >> 5 for character in prefix] + [0] + [ord(character) & 31 for character in prefix]
    checksum = 1
    for value in values + [_BECH32.index(character) for character in data]:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in _BECH32_CONSTANTS


def crc32_base62(body: str, check: str) -> bool:
    """Whether `check` is the CRC-32 of `body` in base 62, as at the end of GitHub's and npm's tokens."""
    number = zlib.crc32(body.encode())
    written = ""
    for _ in check:
        number, digit = divmod(number, 62)
        written = _BASE62[digit] + written
    return written == check
