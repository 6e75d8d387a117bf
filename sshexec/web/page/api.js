// The server's JSON API, which stands beside this page wherever it is mounted.

/** What the server refused, or that it could not be reached (status 0). */
export class ApiError extends Error {
  /** @param {boolean} [signIn] of one who is not signed in: whether that is done here, and not where a platform says. */
  constructor(status, code, text, signIn = true) {
    super(text);
    this.status = status;
    this.code = code;
    this.signIn = signIn;
  }
}

function refusal(status, body) {
  const error = body?.error;
  return new ApiError(status, error?.code ?? "error", error?.text ?? `The server answered ${status}.`, error?.sign_in);
}

const UNREACHABLE = "The server cannot be reached.";
const PATIENCE = 60000; // milliseconds that one call may take
const HELD = 16 * 2 ** 20; // bytes of a download that are held in pieces; a Blob of them need not be in memory

export class Api {
  /** @param {function()} signedOut called when the server does not know us any more. */
  constructor(signedOut) {
    this.base = new URL("api/", document.baseURI);
    this.signedOut = signedOut;
  }

  /** The address of something below /api/; values of `query` that are null are left out. */
  url(path, query = {}) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== null && value !== undefined) url.searchParams.set(name, value);
    }
    return url.href;
  }

  get(path, query, options) {
    return this.request("GET", path, { query, ...options });
  }

  post(path, body = {}, options) {
    return this.request("POST", path, { body, ...options });
  }

  delete(path, query) {
    return this.request("DELETE", path, { query });
  }

  /** Makes one call. @returns {Promise<any>} what the JSON says; null where there is none. */
  async request(method, path, { query, body, signal = AbortSignal.timeout(PATIENCE), quiet = false } = {}) {
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(this.url(path, query), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "same-origin",
        cache: "no-store",
        signal,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "unreachable", UNREACHABLE);
    }
    let answer = null;
    try {
      if (response.status !== 204) answer = await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (response.ok) throw new ApiError(0, "broken_off", "The server's answer broke off.");
    }
    if (response.ok) return answer;
    if (response.status === 401 && !quiet) this.signedOut();
    throw refusal(response.status, answer);
  }

  /**
   * Sends a file. fetch cannot tell how far an upload is, so this is an XMLHttpRequest.
   * @param {function(number, number)} progress gets the bytes that went and all of them.
   * @param {AbortSignal} [signal]
   */
  upload(path, query, file, progress, signal) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", this.url(path, query));
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.responseType = "json";
      request.upload.onprogress = (event) => progress(event.loaded, file.size);
      request.onload = () => {
        if (request.status >= 200 && request.status < 300) return resolve(request.response);
        if (request.status === 401) this.signedOut();
        return reject(refusal(request.status, request.response));
      };
      request.onerror = () => reject(new ApiError(0, "unreachable", UNREACHABLE));
      request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
      signal?.addEventListener("abort", () => request.abort());
      request.send(file);
    });
  }

  /** Fetches a file as a Blob, with progress; `total` is 0 where the server does not say it. */
  async download(path, query, progress, signal) {
    let response;
    try {
      response = await fetch(this.url(path, query), { credentials: "same-origin", cache: "no-store", signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "unreachable", UNREACHABLE);
    }
    if (!response.ok) {
      if (response.status === 401) this.signedOut();
      throw refusal(response.status, await response.json().catch(() => null));
    }
    const total = Number(response.headers.get("Content-Length") ?? 0);
    const reader = response.body.getReader();
    const wholes = [];
    let parts = [];
    let held = 0;
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, "broken_off", "The download broke off.");
      });
      if (done) break;
      parts.push(value);
      held += value.length;
      size += value.length;
      progress(size, total);
      if (held < HELD) continue;
      wholes.push(new Blob(parts));
      [parts, held] = [[], 0];
    }
    return new Blob([...wholes, ...parts], { type: "application/octet-stream" });
  }
}
