"""What runs in the box: the tests in one process, the answer's code in another. A script; standard library only.

The tests' process holds the tests, the expected values and the pipe for the verdict, and never runs a line of the
answer. The answer's process holds the answer and a socket, and only answers "call this function with these arguments".
So nothing the answer prints, patches, replaces or exits can make the verdict. Values cross as plain data and are
compared by the tests' process; an object of a class of the answer's stays there, and a `Remote` stands for it.
"""

from __future__ import annotations

import builtins
import ctypes
import json
import os
import socket
import struct
import sys
import types
from typing import Any, NoReturn, cast

_MAX_MESSAGE = 16_000_000
_MAX_DETAIL = 300
_PR_SET_DUMPABLE = 4
_SOCKET = 3
_NAME = "solution"
_WORDS = (
    "len str repr int float iter next getitem setitem delitem contains add radd sub rsub mul rmul truediv floordiv mod "
    "pow neg pos abs and or xor enter exit"
)
_FORWARDED = tuple(f"__{word}__" for word in _WORDS.split())
_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")


class Broken(BaseException):
    """The other process ended, or sent what is no message. Not an Exception: no test takes it for one it waits for."""


def _send(link: socket.socket, message: object) -> None:
    data = json.dumps(message).encode()
    if len(data) > _MAX_MESSAGE:
        raise ValueError("a value is too large to hand over")
    link.sendall(struct.pack("!I", len(data)) + data)


def _receive(link: socket.socket) -> Any:
    (size,) = struct.unpack("!I", _read(link, 4))
    if size > _MAX_MESSAGE:
        raise Broken("a message is too large")
    return json.loads(_read(link, size))


def _read(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = link.recv(min(65_536, size - len(data)))
        if not piece:
            raise Broken("the answer's process ended")
        data += piece
    return bytes(data)


_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


def pack(value: Any, keep: Any) -> Any:
    """`value` as JSON; what is not plain data becomes what `keep` says it is called."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": str(int(value))}
    if isinstance(value, float):
        return {"float": float(value).hex()}
    if isinstance(value, str):
        return {"str": str(value).encode("utf-8", "surrogatepass").hex()}
    if isinstance(value, bytes | bytearray):
        return {type(value).__name__: value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {"dict": [[pack(key, keep), pack(item, keep)] for key, item in items]}
    for name, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            return {name: [pack(item, keep) for item in value]}
    return {"object": keep(value)}


def unpack(packed: Any, find: Any) -> Any:
    """The value that `pack` packed; `find` gives what an object is called."""
    if packed is None or isinstance(packed, bool):
        return packed
    ((name, body),) = packed.items()
    if name in _SEQUENCES:
        return _SEQUENCES[name](unpack(item, find) for item in body)
    if name == "dict":
        return {unpack(key, find): unpack(item, find) for key, item in body}
    if name == "str":
        return bytes.fromhex(body).decode("utf-8", "surrogatepass")
    if name == "complex":
        return complex(*map(float.fromhex, body))
    simple = {"int": int, "float": float.fromhex, "bytes": bytes.fromhex, "bytearray": bytearray.fromhex}
    return simple[name](body) if name in simple else find(body)


# The answer's process.


def serve_answer() -> None:
    """Run the answer's code, say what it defines, then do what is asked until the socket closes."""
    link = socket.socket(fileno=_SOCKET)
    objects: list[Any] = []

    def keep(value: Any) -> int:
        objects.append(value)
        return len(objects) - 1

    code = _receive(link)
    module = types.ModuleType(_NAME)
    sys.modules[_NAME] = module
    try:
        exec(compile(code, "answer.py", "exec"), module.__dict__)
        _send(link, {"names": _defined(module, keep)})
    except Exception as error:  # noqa: BLE001 - whatever the answer raises is its result
        _send(link, {"raised": _raised(error)})
        return
    while True:
        asked = _receive(link)
        try:
            arguments = unpack(asked["arguments"], objects.__getitem__)
            named = unpack(asked["named"], objects.__getitem__)
            done = getattr(objects[asked["of"]], asked["name"])
            result = done(*arguments, **named) if asked["call"] else done
            reply = {"result": pack(result, keep), "arguments": pack(arguments, keep)}
        except Exception as error:  # noqa: BLE001 - whatever the answer raises is its result
            reply = {"raised": _raised(error)}
        _send(link, reply)


def _defined(module: types.ModuleType, keep: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in list(module.__dict__.items()):
        if name.startswith("__") or isinstance(value, types.ModuleType):
            continue
        packed = pack(value, keep)
        if isinstance(value, type) and issubclass(value, BaseException):
            packed = {"exception": value.__name__}
        found[name] = packed
    return found


def _raised(error: BaseException) -> list[str]:
    names = [kind.__name__ for kind in type(error).__mro__]
    return [str(error)[:_MAX_DETAIL].encode("utf-8", "replace").decode(), *names]


# The tests' process.


class Answer:
    """The answer's process, as the tests' process sees it."""

    def __init__(self, code: str) -> None:
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            _become_answer(theirs)
        theirs.close()
        self._link = ours
        self.broken = ""
        """What the answer's process did, where it no longer answers."""
        self._exceptions: dict[str, type[Exception]] = {}
        reply = self._exchange(code)
        if "raised" in reply:
            raise self._exception(reply["raised"])
        for packed in reply["names"].values():
            name = _exception_name(packed)
            if name:
                self._exceptions[name] = type(name, (Exception,), {})
        names = {str(name): packed for name, packed in reply["names"].items()}
        self.names = {name: self._value(packed) for name, packed in names.items() if not name.startswith("__")}

    def _exchange(self, message: object) -> Any:
        try:
            _send(self._link, message)
            return _receive(self._link)
        except (Broken, OSError, ValueError) as error:
            self.broken = f"the answer's process broke off: {error}"
            raise Broken(self.broken) from error

    def _value(self, packed: Any) -> Any:
        name = _exception_name(packed)
        return self._exceptions[name] if name else unpack(packed, self._remote)

    def _remote(self, number: int) -> Remote:
        return Remote(self, int(number))

    def ask(self, of: int, name: str, arguments: tuple[Any, ...] = (), named: Any = None, *, call: bool = True) -> Any:
        """Call (or get) an attribute of an object over there; lists and dicts it changes are changed here too."""
        message = {"of": of, "name": name, "call": call}
        message |= {"arguments": pack(arguments, _number_of), "named": pack(named or {}, _number_of)}
        reply = self._exchange(message)
        if "raised" in reply:
            raise self._exception(reply["raised"])
        if call:
            _follow(arguments, unpack(reply["arguments"], self._remote))
        return unpack(reply["result"], self._remote)

    def _exception(self, raised: list[str]) -> Exception:
        text, *names = raised
        for name in names:
            kind = self._exceptions.get(name) or getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                try:
                    return kind(text)
                except TypeError:  # UnicodeDecodeError, say, wants more than a text
                    continue
        return Exception(text)


class Remote:
    """An object of the answer's that stays in the answer's process. It is compared with other such objects only: beside
    plain data it could say what it likes."""

    def __init__(self, answer: Answer, number: int) -> None:
        self.__dict__.update(_answer=answer, _number=number)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call it over there."""
        return self._answer.ask(self._number, "__call__", arguments, named)

    def __getattr__(self, name: str) -> Any:
        return self._answer.ask(self._number, name, call=False)

    def __setattr__(self, name: str, value: Any) -> None:
        self._answer.ask(self._number, "__setattr__", (name, value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self._answer.ask(self._number, "__eq__", (other,)) is True

    def __hash__(self) -> int:
        return hash(self._answer.ask(self._number, "__hash__"))


def _forward(name: str) -> Any:
    def method(self: Any, *arguments: Any) -> Any:
        if name in _ORDER and not isinstance(arguments[0], Remote):
            return NotImplemented
        try:
            return self._answer.ask(self._number, name, arguments)
        except AttributeError as error:  # what Python raises for a missing special method
            raise TypeError(str(error)) from error

    return method


def _truth(remote: Any) -> bool:
    for name in ("__bool__", "__len__"):
        try:
            return bool(remote._answer.ask(remote._number, name))
        except AttributeError:
            continue
    return True


for _name in (*_FORWARDED, *_ORDER):
    setattr(Remote, _name, _forward(_name))
setattr(Remote, "__bool__", _truth)  # noqa: B010 - beside its kind


def _exception_name(packed: Any) -> str:
    """The name of an exception class that the answer defines; empty for anything else."""
    return str(packed.get("exception", "")) if packed.__class__ is dict else ""


def _number_of(value: Any) -> int:
    if isinstance(value, Remote):
        return int(value.__dict__["_number"])
    raise TypeError(f"the sandbox can hand over plain data only, not {type(value).__name__}")


def _follow(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    """Change our lists, dicts and sets as the call changed its copies of them."""
    for mine, changed in zip(ours, theirs, strict=True):
        kind = mine.__class__
        if kind not in (list, dict, set) or kind is not changed.__class__ or mine == changed:
            continue
        if kind is list:
            mine[:] = changed
        else:
            mine.clear()
            mine.update(changed)


def _become_answer(link: socket.socket) -> NoReturn:
    os.dup2(link.fileno(), _SOCKET)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(_SOCKET + 1, 64)
    os.execve(sys.executable, [sys.executable, "-sSPB", __file__, "answer"], {"PYTHONHASHSEED": "0"})


def run_tests() -> None:
    """Read the job, run the tests, and write the verdict where nobody else can."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # its memory and files are closed to the answer's process
    verdict = os.dup(1)
    job = json.loads(sys.stdin.buffer.read())
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.write(verdict, b'{"started": true}\n')  # from here on, an end without a verdict is the answer's doing
    try:
        answer = Answer(job["answer"])
    except (Exception, Broken) as error:  # noqa: BLE001 - whatever goes wrong with the answer's code is its result
        result = _result(0, [f"the answer's code fails: {type(error).__name__}: {error}"])
    else:
        result = _verdict(job, answer)
    os.write(verdict, json.dumps(result).encode("utf-8", "replace") + b"\n")
    os._exit(0)


def _verdict(job: dict[str, Any], answer: Answer) -> dict[str, Any]:
    module = types.ModuleType(_NAME)
    module.__dict__.update(answer.names)
    sys.modules[_NAME] = module
    # An answer that defines `all` or `abs` must not judge itself by them: those are in `solution` only.
    names = {name: value for name, value in answer.names.items() if not hasattr(builtins, name)}
    space: dict[str, Any] = {"__name__": "tests", **names}
    if job["entry"]:
        if job["entry"] not in answer.names:
            return _result(0, [f"the answer does not define {job['entry']}"])
        space["candidate"] = space[job["entry"]] = answer.names[job["entry"]]
    try:
        tests = compile(job["tests"], "tests.py", "exec")
    except (SyntaxError, ValueError) as error:
        return {"unusable": f"the tests are not Python: {error}"}
    failures: list[str] = []
    _try("tests", lambda: exec(tests, space), failures)
    runs = _found_tests(space, job["entry"])
    if not runs and "assert" not in job["tests"]:
        return {"unusable": "the tests hold no assert, no test_* function, no TestCase and no check(candidate)"}
    for name, run in runs:
        _try(name, run, failures)
    if answer.broken and not failures:  # a test's bare `except:` took it
        failures.append(answer.broken)
    return _result(1 + len(runs), failures)


def _found_tests(space: dict[str, Any], entry: str) -> list[tuple[str, Any]]:
    """What the tests define; nothing of the answer's is a function or a TestCase here."""
    runs: list[tuple[str, Any]] = []
    unittest: Any = sys.modules.get("unittest")  # there if the tests imported it: it takes long
    for name, value in space.items():
        if unittest and isinstance(value, type) and issubclass(value, unittest.TestCase):
            names = unittest.TestLoader().getTestCaseNames(value)
            runs += [(f"{name}.{one}", unittest.TestSuite([value(one)]).debug) for one in names]
        elif name.startswith("test") and isinstance(value, types.FunctionType):
            runs.append((name, value))
        elif name == "check" and entry and isinstance(value, types.FunctionType):
            runs.append((name, lambda check=value: check(space["candidate"])))
    return runs


def _try(name: str, run: Any, failures: list[str]) -> None:
    try:
        result = run()
        if isinstance(result, types.CoroutineType):
            import asyncio

            asyncio.run(cast("Any", result))
    except (Exception, SystemExit, Broken) as error:  # noqa: BLE001 - a test that raises is a test that fails
        unittest: Any = sys.modules.get("unittest")
        if unittest and isinstance(error, unittest.SkipTest):  # the tests' own: the answer's is another class
            return
        failures.append(f"{name}: {type(error).__name__}: {error}"[:_MAX_DETAIL])


def _result(tests: int, failures: list[str]) -> dict[str, Any]:
    return {"tests": tests, "failures": failures}


if __name__ == "__main__":
    sys.set_int_max_str_digits(0)
    if sys.argv[1] == "tests":
        run_tests()
    else:
        serve_answer()
