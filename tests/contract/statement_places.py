"""One rig for each kind of place where statement files wait: how a file gets there, and what may be in its way."""

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from services.payments.adapters.bucket import Bucket
from services.payments.adapters.folder import Folder
from services.payments.domain.bucket_settings import BucketSettings
from services.payments.domain.pick_up import FilePlace, Place
from shared.outgoing import LOOPBACK, Allowed, Guard, guarded_client
from tests.doubles.object_store import ObjectStore, object_store

LONG_AGO = 60.0  # seconds: nobody writes to such a file any more


class Rig(Protocol):
    kind: Place

    def place(self) -> FilePlace:
        """As another process sees it."""

    def put(self, name: str, content: bytes) -> None: ...

    def hide(self, name: str) -> None:
        """From now on it is listed and cannot be read."""

    def show(self, name: str, content: bytes) -> None:
        """It can be read again."""

    def take_away(self, name: str) -> None: ...


class FolderRig:
    kind = Place.FOLDER

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def place(self) -> FilePlace:
        return Folder(self.path)

    def put(self, name: str, content: bytes) -> None:
        (self.path / name).write_bytes(content)
        self._age(name)

    def hide(self, name: str) -> None:
        self.take_away(name)
        (self.path / name).mkdir()

    def show(self, name: str, content: bytes) -> None:
        (self.path / name).rmdir()
        self.put(name, content)

    def take_away(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def _age(self, name: str) -> None:
        at = time.time() - LONG_AGO
        os.utime(self.path / name, (at, at))


class BucketRig:
    kind = Place.BUCKET

    def __init__(self, store: ObjectStore, made: Callable[[], FilePlace]) -> None:
        self.store = store
        self.place = made

    def put(self, name: str, content: bytes) -> None:
        self.store.objects[name] = content

    def hide(self, name: str) -> None:
        self.store.hidden.add(name)

    def show(self, name: str, content: bytes) -> None:
        self.store.hidden.discard(name)
        self.put(name, content)

    def take_away(self, name: str) -> None:
        del self.store.objects[name]


@asynccontextmanager
async def folder_rig(path: Path) -> AsyncIterator[Rig]:
    yield FolderRig(path / "in")
    shutil.rmtree(path / "in")


@asynccontextmanager
async def bucket_rig(path: Path) -> AsyncIterator[Rig]:
    async with object_store() as store, guarded_client(Guard(Allowed.parse(LOOPBACK))) as client:
        yield BucketRig(store, lambda: Bucket(BucketSettings(**store.settings()), client))


RIGS: dict[Place, Callable[[Path], AbstractAsyncContextManager[Rig]]] = {
    Place.FOLDER: folder_rig,
    Place.BUCKET: bucket_rig,
}
