/** A question that is asked once, and no longer when another takes its place. */
// @ts-check

export class Newest {
  constructor() {
    this.asking = new AbortController();
    this.key = "";
    /** @type {Promise<any> | null} */
    this.answer = null;
  }

  /**
   * The answer: the one that is there or on its way, if the question is the same. The earlier question's is aborted.
   *
   * @template T
   * @param {object} question
   * @param {(signal: AbortSignal) => Promise<T>} post
   * @returns {Promise<T>}
   */
  ask(question, post) {
    const key = JSON.stringify(question);
    if (this.answer && this.key === key) return this.answer;
    this.stop();
    const answer = post(this.asking.signal);
    answer.catch(() => {
      if (this.answer === answer) this.answer = null; // so that it can be asked again
    });
    Object.assign(this, { key, answer });
    return answer;
  }

  /** Stop asking. */
  stop() {
    this.asking.abort();
    this.asking = new AbortController();
    this.answer = null;
  }
}
