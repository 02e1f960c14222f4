"""A real Chromium, driven over its own protocol (DevTools): opens a page as it is printed on A4, and measures it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from contextlib import asynccontextmanager

import aiohttp

from deploy.native.processes import ChildProcess, wait_until
from deploy.native.programs import chromium_binary

#: A4 without the margins of ``page.html`` (14 mm above and below, 12 mm beside), in pixels of 1/96 inch.
WIDTH, HEIGHT = round((210 - 24) * 96 / 25.4), round((297 - 28) * 96 / 25.4)

#: Texts that are wider or higher than what they stand in, for people: [text, place].
_OVERFLOWING = """
(() => {
    const found = [], near = 1, shown = box => [box.left, box.top, box.right, box.bottom].map(Math.round).join(' ');
    const inside = (text, box, holder, where) => {
        if (!box.width && !box.height) return;
        if (box.left < holder.left - near || box.right > holder.right + near
            || box.top < holder.top - near || box.bottom > holder.bottom + near)
            found.push(`${text}: ${shown(box)} is not within ${where}, ${shown(holder)}`);
    };
    const page = document.documentElement.getBoundingClientRect();
    if (document.documentElement.scrollWidth > innerWidth) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = texts.nextNode());) {
        const text = node.textContent.trim(), parent = node.parentElement;
        if (!text || parent.closest('svg')) continue;
        const holder = parent.closest('td, th, b, p, h1, h2, .card, .legend > span, .warning');
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects()) {
            inside(text, box, (holder || document.body).getBoundingClientRect(), holder ? holder.tagName : 'the page');
            inside(text, box, page, 'the page');
        }
    }
    for (const text of document.querySelectorAll('.map g text')) {
        const tile = text.parentElement.querySelector('rect');
        inside(text.textContent, text.getBoundingClientRect(), tile.getBoundingClientRect(), 'its tile');
    }
    for (const line of document.querySelectorAll('svg[aria-label] > g')) {
        const [name, rate] = line.querySelectorAll(':scope > text'), bar = line.querySelector('rect').getBoundingClientRect();
        if (line.closest('.map')) continue;
        if (name.getBoundingClientRect().right > bar.left + near) found.push(`${name.textContent} reaches into its bar`);
        if (rate.getBoundingClientRect().left < bar.right - near) found.push(`the bar of ${name.textContent} reaches its rate`);
    }
    for (const text of document.querySelectorAll('svg text'))
        inside(text.textContent, text.getBoundingClientRect(), text.closest('svg').getBoundingClientRect(), 'its drawing');
    return found;
})()
"""
#: Indicator -> code -> [numerator, denominator], as attributes and as what a reader sees.
_FIGURES = """
Object.fromEntries([...document.querySelectorAll('table[data-table]')].map(table => [table.dataset.table, Object.fromEntries(
    [...table.querySelectorAll('tbody tr')].map(row => [row.dataset.code, [...row.querySelectorAll('td[data-value]')].map(
        cell => [Number(cell.dataset.value), Number(cell.innerText.replace(/[.,]/g, ''))])]))]))
"""
#: The share of pixels of a picture that are not white.
_INKED = """
(async () => {
    const picture = new Image();
    picture.src = 'data:image/png;base64,%s';
    await picture.decode();
    const canvas = Object.assign(document.createElement('canvas'), {width: picture.width, height: picture.height});
    const drawing = canvas.getContext('2d');
    drawing.drawImage(picture, 0, 0);
    const bytes = drawing.getImageData(0, 0, canvas.width, canvas.height).data;
    let inked = 0;
    for (let at = 0; at < bytes.length; at += 4) inked += Math.min(bytes[at], bytes[at + 1], bytes[at + 2]) < 200;
    return inked / (bytes.length / 4);
})()
"""


#: The value of a script as soon as it is true; false after some milliseconds.
_UNTIL = """
(async () => {
    const holds = () => { try { return (%s); } catch { return false; } }, end = performance.now() + %d;
    for (;;) {
        const found = holds();
        if (found || performance.now() > end) return typeof found === 'object' ? Boolean(found) : found;
        await new Promise(done => setTimeout(done, 20));
    }
})()
"""
#: What axe finds, in short.
_AXE = """
axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(each => each.id + ': '
    + each.nodes.slice(0, 3).map(node => node.target.join(' ') + ' ' + node.any.map(why => why.message).join('; ')).join(' | ')))
"""


class ChromiumError(Exception):
    """Chromium refuses a command, or a script failed."""


class Chromium:
    """A connection to a running Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.events: list[dict] = []
        self._pages: list[Page] = []

    async def send(self, method, *, session=None, **parameters):
        """Send a command and return its result; events that come meanwhile are kept.

        Raises:
            ChromiumError: it is refused.
        """
        number = next(self._numbers)
        await self._socket.send_json(
            {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        )
        while True:
            message = await self._receive()
            if message.get("id") == number:
                if "error" in message:
                    raise ChromiumError(f"{method}: {message['error']['message']}")
                return message["result"]

    async def await_event(self, method, session):
        """Return when an event has come."""
        while not any(event["method"] == method and event.get("sessionId") == session for event in self.events):
            await self._receive()

    async def _receive(self):
        message = json.loads(await self._socket.receive_str(timeout=60))
        if "method" in message:
            self.events.append(message)
        return message

    async def blank(self):
        """A page that is open and empty."""
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"], target["targetId"])
        for domain in ("Page", "Network", "Log", "Runtime"):
            await page.send(f"{domain}.enable")
        self._pages.append(page)
        return page

    async def close_pages(self):
        """Close every page that is open, and forget what it did."""
        while self._pages:
            await self._pages[0].close()
        self.events.clear()

    async def closed(self, page, target):
        """Close a page."""
        self._pages.remove(page)
        await self.send("Target.closeTarget", targetId=target)

    async def open(self, url):
        """A page as it is printed on A4, loaded to its end."""
        page = await self.blank()
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        await page.send("Emulation.setDeviceMetricsOverride", **size)
        await page.send("Emulation.setEmulatedMedia", media="print")
        if url != "about:blank":
            await page.send("Page.navigate", url=url)
            await self.await_event("Page.loadEventFired", page.session)
        return page


class Page:
    """A page that is open."""

    def __init__(self, chromium: Chromium, session: str, target: str) -> None:
        self._chromium, self.session, self._target = chromium, session, target

    async def close(self):
        """Close the page, and its connections."""
        await self._chromium.closed(self, self._target)

    async def show(self, url, *, width, height, phone=False, media="", features=()):
        """Load an address on a screen of this size. ``features``: of CSS media, such as prefers-reduced-motion."""
        await self.send("Emulation.setEmulatedMedia", media=media, features=[{"name": k, "value": v} for k, v in features])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        await self.send("Page.navigate", url=url)

    async def until(self, script, *, seconds=15):
        """Return the value of a script once it is true.

        Raises:
            ChromiumError: it did not become true in time.
        """
        found = await self.value(_UNTIL % (script, seconds * 1000))
        if not found:
            raise ChromiumError(f"not within {seconds} s: {script}")
        return found

    async def press(self, *keys):
        """Press keys one after the other, by their names."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
            code = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38, "ArrowDown": 40, "Home": 36, "End": 35}.get(key, 0)
            await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
            await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    async def picture(self):
        """What is seen, as PNG."""
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png"))["data"])

    def complaints(self):
        """What the page complained of: exceptions, console messages, refused resources."""
        mine = [event for event in self._chromium.events if event.get("sessionId") == self.session]
        found = [event["params"] for event in mine if event["method"] in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled"}]
        return [*(json.dumps(each)[:500] for each in found), *self.requested()[1]]

    async def send(self, method, **parameters):
        """Send a command about this page."""
        return await self._chromium.send(method, session=self.session, **parameters)

    async def value(self, script):
        """The value of a script."""
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise ChromiumError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    async def violations(self, axe):
        """What axe-core finds, in short; ``axe``: its script."""
        await self.value(axe)
        return await self.value(_AXE)

    async def overflowing(self):
        """Texts that do not fit what they stand in."""
        return await self.value(_OVERFLOWING)

    async def figures(self):
        """Indicator -> code -> numerator and denominator, each as [attribute, what is shown]."""
        return await self.value(_FIGURES)

    async def inked(self):
        """The share of pixels that are not white, of each sheet of A4; the last one may be the margin of the page."""
        height = await self.value("document.documentElement.scrollHeight")
        pictures = []
        for top in range(0, height, HEIGHT):
            clip = {"x": 0, "y": top, "width": WIDTH, "height": min(HEIGHT, height - top), "scale": 1}
            pictures.append(await self.send("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True))
        painter = await self._chromium.open("about:blank")  # not before: a page behind another one is not drawn
        return [await painter.value(_INKED % picture["data"]) for picture in pictures]

    async def printed(self):
        """The page as a PDF."""
        return base64.b64decode((await self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=True))["data"])

    def requested(self):
        """Every address that the page asked for, and what Chromium complains of."""
        mine = [event for event in self._chromium.events if event.get("sessionId") == self.session]
        asked = [event["params"]["request"]["url"] for event in mine if event["method"] == "Network.requestWillBeSent"]
        said = [event["params"]["entry"]["text"] for event in mine if event["method"] == "Log.entryAdded"]
        return asked, said


@asynccontextmanager
async def chromium(folder):
    """A Chromium without a window, with an empty profile below ``folder``, until the block ends."""
    profile, log = folder / "profile", folder / "chromium.log"
    switches = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    switches += ("--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}")
    process = ChildProcess("Chromium", [chromium_binary(), *switches, "about:blank"], log=log)
    process.start()
    try:
        address = profile / "DevToolsActivePort"

        def listening():
            """Port and path, once both are written."""
            found = address.read_text().split() if address.exists() else []
            return found if len(found) == 2 else None

        port, path = await asyncio.to_thread(wait_until, listening, timeout=60, what="Chromium to listen", children=[process])
        async with aiohttp.ClientSession() as client, client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket:
            yield Chromium(socket)
    finally:
        process.stop()
