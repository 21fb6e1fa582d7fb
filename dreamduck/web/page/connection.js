// The socket to the server: messages out, answers and moments in, and a new try when it is lost.

const RETRY = [500, 1000, 2000, 4000]; // milliseconds

/**
 * @param {Object} on  handlers: lost(reason), answer(object), moment(header, images)
 * @returns {{send: function(string, Object=), sendImage: function(Uint8Array), isOpen: function(): boolean}}
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
    sendImage: (bytes) => isOpen() && socket.send(bytes),
  };
}

/** Take a moment apart: its header, and the bytes of each image by name. */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const images = {};
  let at = 4 + length;
  for (const [name, width, height, coding, size] of header.images) {
    images[name] = { width, height, coding, bytes: new Uint8Array(buffer, at, size) };
    at += size;
  }
  return [header, images];
}
