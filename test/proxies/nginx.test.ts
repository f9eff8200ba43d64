import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startProgram } from '../servers/program.ts'
import { exampleWith, findDebian } from './example.ts'
import { proxySuite, type ProxyPlace, type RunningProxy } from './suite.ts'

proxySuite('nginx', startNginx, 'answers 423')

async function startNginx({ port, upstream, cert, key }: ProxyPlace): Promise<RunningProxy | null> {
  const command = findDebian('nginx')
  if (command === null) return null
  const site = await exampleWith('nginx.conf', {
    'listen 443 ssl http2': `listen 127.0.0.1:${port} ssl http2`,
    'uploads.example.com;': 'localhost;',
    '/etc/ssl/uploads.example.com.crt': cert,
    '/etc/ssl/uploads.example.com.key': key,
    '127.0.0.1:8080': `127.0.0.1:${upstream}`,
  })
  return startProgram({
    name: 'nginx',
    command,
    args: ({ folder }) => ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', 'stderr'],
    async prepare({ folder, port: ready }) {
      const scratch = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      // The second server tells that it is up.
      const text = `
        # One process: it is ended as it is.
        daemon off; master_process off; pid ${folder}/pid; error_log stderr warn;
        events {}
        http {
          access_log off;
          ${scratch.map((each) => `${each}_temp_path ${folder}/${each};`).join('\n')}
          server { listen 127.0.0.1:${ready}; return 200; }
          ${site}
        }`
      await writeFile(join(folder, 'nginx.conf'), text)
    },
    ready: { path: '/' },
  })
}
