import { explainAnswer } from '../src/node/client/explain.ts'
import { formatSize } from '../src/node/client/units.ts'
import type { DemoSettings } from '../src/node/demo/settings.ts'
import { find, make } from './elements.ts'

/** An upload of this browser. */
interface Entry {
  readonly url: string
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** When it was complete, in milliseconds. */
  readonly at: number
}

const key = 'fileloft-uploads'
const tus = { 'Tus-Resumable': '1.0.0' }

/** Shows what this browser uploaded, newest first, to be downloaded and deleted. Kept in `localStorage`. */
export function createList({ download, extensions }: DemoSettings): { add(entry: Entry): void } {
  const place = find('#uploads')
  const say = (text: string) => {
    find('#news').textContent = text
  }

  const show = () => {
    const entries = read()
    find('#none').hidden = entries.length > 0
    place.replaceChildren(...entries.map(row))
  }
  const change = (entries: readonly Entry[]) => {
    localStorage.setItem(key, JSON.stringify(entries))
    show()
  }
  const forget = (url: string) => change(read().filter((entry) => entry.url !== url))

  const row = (entry: Entry) => {
    const about = `${formatSize(entry.size)}, ${new Date(entry.at).toLocaleString()}`
    const actions = make('div', { class: 'actions' })
    if (download)
      actions.append(
        make('a', { href: entry.url, download: entry.name, 'aria-label': `Download ${entry.name}` }, 'Download'),
      )
    if (extensions.includes('termination')) {
      const button = make('button', { type: 'button', class: 'danger', 'aria-label': `Delete ${entry.name}` }, 'Delete')
      button.addEventListener('click', () => void askAndRemove(entry))
      actions.append(button)
    }
    return make(
      'li',
      {},
      make('div', { class: 'file' }, make('strong', {}, entry.name), make('small', {}, about)),
      actions,
    )
  }

  const askAndRemove = async (entry: Entry) => {
    if (!(await confirm(`Delete ${entry.name} from the server?`))) return
    const problem = await remove(entry.url)
    if (problem === null) forget(entry.url)
    say(problem === null ? `${entry.name} is deleted.` : `${entry.name} was not deleted: ${problem}.`)
    // Its button is gone, or was drawn anew.
    find('#uploads-title').focus()
  }

  show()
  window.addEventListener('storage', (event) => {
    if (event.key === key) show()
  })
  void dropGone(read(), forget)
  return {
    add(entry) {
      change([entry, ...read().filter(({ url }) => url !== entry.url)])
      say('')
    },
  }
}

function read(): Entry[] {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? '[]')
    return Array.isArray(value) ? (value as Entry[]) : []
  } catch {
    return []
  }
}

/** @returns why it failed, or null. */
async function remove(url: string): Promise<string | null> {
  try {
    const answer = await fetch(url, { method: 'DELETE', headers: tus })
    const isGone = answer.ok || answer.status === 404 || answer.status === 410
    return isGone ? null : explainAnswer(answer.status, await answer.text())
  } catch {
    return 'the server does not answer, or the network is gone'
  }
}

/** Forgets what others deleted, or what expired. */
async function dropGone(entries: readonly Entry[], forget: (url: string) => void): Promise<void> {
  for (const { url } of entries) {
    const answer = await fetch(url, { method: 'HEAD', headers: tus }).catch(() => null)
    if (answer?.status === 404 || answer?.status === 410) forget(url)
  }
}

async function confirm(question: string): Promise<boolean> {
  const dialog = find<HTMLDialogElement>('#confirm')
  find('#confirm-text').textContent = question
  dialog.returnValue = ''
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
  return dialog.returnValue === 'delete'
}
