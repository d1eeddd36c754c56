/** A stream without sound, for a call that has no microphone: without packets, Asterisk would take the page for gone. */
export function silence() {
  const audio = new AudioContext();
  const { stream } = audio.createMediaStreamDestination();
  const [track] = stream.getAudioTracks();
  track.stop = () => {
    MediaStreamTrack.prototype.stop.call(track);
    audio.close(); // otherwise it would occupy the loudspeaker
  };
  return stream;
}
