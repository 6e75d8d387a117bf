// Recordings as text: how long their pauses are, and the same with shorter ones.

const TIME = /^\[\s*([\d.eE+-]+)/;

/**
 * Makes pauses shorter, and says where a moment of the recording is then.
 * The player could do so itself, but nobody could tell it afterwards where to go.
 * @param {string} text a recording of version 2 or 3.
 * @param {number} longest seconds that a pause may have; Infinity leaves them as they are.
 * @returns {{text: string, duration: number, at: function(number): number, original: function(number): number}} `at` says
 *     where a moment of the recording is now, `original` where a moment of what is played was.
 */
export function shortened(text, longest) {
  const lines = text.split("\n");
  const relative = JSON.parse(lines[0]).version === 3;
  const before = [0];
  const after = [0];
  let now = 0;
  let then = 0;
  for (let index = 1; index < lines.length; index += 1) {
    const found = TIME.exec(lines[index]);
    if (!found) continue;
    const time = Number(found[1]);
    if (!Number.isFinite(time)) continue;
    const pause = relative ? time : time - now;
    now += Math.max(0, pause);
    then += Math.min(Math.max(0, pause), longest);
    before.push(now);
    after.push(then);
    const written = (relative ? then - after.at(-2) : then).toFixed(6);
    lines[index] = `[${written}${lines[index].slice(found[0].length)}`;
  }
  return {
    text: lines.join("\n"),
    duration: then,
    at: (moment) => {
      const index = last(before, moment);
      return Math.min(after[index] + Math.min(moment - before[index], longest), then);
    },
    original: (moment) => {
      const index = last(after, moment);
      return before[index] + Math.max(0, moment - after[index]);
    },
  };
}

/** The last of rising numbers that is no larger than one. */
function last(numbers, number) {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (numbers[middle] <= number) low = middle;
    else high = middle - 1;
  }
  return low;
}
