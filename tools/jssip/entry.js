// What static/phone/line.js uses of JsSIP.
export { UA, WebSocketInterface } from "jssip";
