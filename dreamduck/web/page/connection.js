// The socket to the server: messages out, answers and moments in, and a new try when it is lost.

const RETRY = [500, 1000, 2000, 4000]; // milliseconds

/**
 * @param {Object} on  handlers: open(), lost(reason), answer(object), moment(header, pictures)
 * @returns {{send: function(string, Object=), sendPicture: function(Uint8Array), isOpen: function(): boolean}}
 */
export function connect(on) {
  let socket = null;
  let failures = 0;

  function open() {
    const address = new URL("/socket", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => on.open();
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return on.moment(...unpack(data));
      failures = 0; // only now: a full server opens the socket and closes it at once
      on.answer(JSON.parse(data));
    };
    socket.onclose = ({ reason }) => {
      socket = null;
      on.lost(reason);
      setTimeout(open, RETRY[Math.min(failures++, RETRY.length - 1)]);
    };
  }

  const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;
  open();
  return {
    isOpen,
    send: (type, values = {}) => isOpen() && socket.send(JSON.stringify({ type, ...values })),
    sendPicture: (bytes) => isOpen() && socket.send(bytes),
  };
}

/** Take a moment apart: its header, and the bytes of each picture by name. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const pictures = {};
  let at = 4 + length;
  for (const [name, width, height, coding, size] of header.pictures) {
    pictures[name] = { width, height, coding, bytes: new Uint8Array(buffer, at, size) };
    at += size;
  }
  return [header, pictures];
}
