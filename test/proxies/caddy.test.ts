import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startProgram } from '../servers/program.ts'
import { exampleWith, findDebian } from './example.ts'
import { proxySuite, type ProxyPlace, type RunningProxy } from './suite.ts'

proxySuite('Caddy', startCaddy, 'waits')

async function startCaddy({ port, upstream, cert, key }: ProxyPlace): Promise<RunningProxy | null> {
  const command = findDebian('caddy')
  if (command === null) return null
  const site = await exampleWith('Caddyfile', {
    // Its certificate would come from Let's Encrypt.
    'uploads.example.com {': `https://localhost:${port} {\n\ttls ${cert} ${key}`,
    '127.0.0.1:8080': `127.0.0.1:${upstream}`,
  })
  return startProgram({
    name: 'Caddy',
    command,
    args: ({ folder }) => ['run', '--adapter', 'caddyfile', '--config', join(folder, 'Caddyfile')],
    async prepare({ folder, port: ready }) {
      // The second site tells that it is up.
      const global = '{\n\tadmin off\n\tauto_https disable_redirects\n}\n'
      const status = `http://127.0.0.1:${ready} {\n\trespond 200\n}\n`
      await writeFile(join(folder, 'Caddyfile'), `${global}${status}${site}`)
    },
    ready: { path: '/' },
  })
}
