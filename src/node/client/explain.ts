import type { DetailedError } from 'tus-js-client'

/** Something that no further try will change, said in words. */
export class UploadError extends Error {
  override readonly name = 'UploadError'
}

/** What an answer's status means for whoever uploads. */
const meanings: Readonly<Record<number, string>> = {
  400: 'the server does not understand the request',
  401: "the server wants to know who you are: --header 'Authorization: Bearer ...'",
  403: 'the server does not allow it',
  404: 'the server knows no uploads there',
  405: 'the server takes no uploads there',
  409: 'the server has another offset, and went on having it',
  410: 'the server no longer has this upload',
  412: 'the server speaks another version of tus',
  413: 'it is larger than the server takes',
  415: 'the server does not take this kind of file',
  423: 'somebody else keeps sending this upload',
  429: 'the server limits how much one client may send',
  460: 'what arrived has another checksum, again and again',
  507: 'the server has no space left',
}

/** Says why a request failed: what its status means and what the server says about it. */
export function explainAnswer(status: number, text: string, location?: string): string {
  if (status >= 300 && status < 400)
    return `the server answers ${status}: use ${location ?? 'the URL it names'} instead`
  const meaning = meanings[status] ?? (status >= 500 ? 'the server failed' : 'the server gives no answer of tus')
  // What a terminal would take for a command is left out.
  const [said = ''] = text
    .trim()
    .split('\n', 1)
    .map((line) => line.replace(/[\p{Cc}\p{Cf}]/gu, ''))
  const isSentence = said !== '' && said.length <= 200 && !said.startsWith('<')
  return `${meaning} (${status}${isSentence ? `: ${said}` : ''})`
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  ETIMEDOUT: 'the server does not answer',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  EISDIR: 'it is a directory',
}

/** Says why there was no answer, or no file. */
export function explainError(error: unknown): string {
  if (error instanceof UploadError) return error.message
  if (isDetailed(error)) {
    const { originalResponse: response, causingError } = error
    if (response !== null && response.getStatus() >= 300) {
      return explainAnswer(response.getStatus(), response.getBody(), response.getHeader('Location'))
    }
    if (response !== null) return `the server answers ${response.getStatus()} but not as tus has it`
    if (causingError !== null) return explainError(causingError)
  }
  if (error instanceof AggregateError && error.errors.length > 0) return explainError(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  return reasons[code] ?? error.message
}

function isDetailed(error: unknown): error is DetailedError {
  return error instanceof Error && 'originalResponse' in error && 'causingError' in error
}
