// A socket that comes back by itself: it waits longer after each failure, up to RETRY_MS_MAX.

const RETRY_MS = 250;
const RETRY_MS_MAX = 8_000;

// `url()` may change between tries. `opened(socket)` says the first words, `received(message)` gets
// each JSON message, `changed(state)` hears "connecting", "open" and "lost".
export class Lasting {
  constructor({ url, opened, received, changed }) {
    Object.assign(this, { url, opened, received, changed, retry: RETRY_MS, isEnded: false });
    this.connect();
  }

  connect() {
    if (this.isEnded) return;
    const socket = new WebSocket(this.url());
    this.socket = socket;
    socket.addEventListener("open", () => {
      this.retry = RETRY_MS;
      this.changed("open");
      this.opened(socket);
    });
    socket.addEventListener("message", (event) => this.received(JSON.parse(event.data)));
    socket.addEventListener("close", () => {
      if (this.isEnded) return;
      this.changed("lost");
      this.timer = setTimeout(() => this.connect(), this.retry);
      this.retry = Math.min(2 * this.retry, RETRY_MS_MAX);
    });
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  end() {
    this.isEnded = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
