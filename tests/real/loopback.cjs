// Preload for servers that have no host option: whatever they listen on becomes 127.0.0.1, and the address is printed.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  if (typeof args[0] === "object" && args[0] !== null) args[0] = { ...args[0], host: "127.0.0.1" };
  else if (typeof args[1] === "string") args[1] = "127.0.0.1";
  else args.splice(1, 0, "127.0.0.1");
  this.once("listening", () => console.log(`http://127.0.0.1:${this.address().port}`));
  return listen.apply(this, args);
};
