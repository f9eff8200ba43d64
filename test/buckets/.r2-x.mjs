import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
const {outputFiles}=await build({entryPoints:['/work/main/test/buckets/r2-worker.ts'],bundle:true,format:'esm',platform:'neutral',target:'es2024',write:false})
const original=outputFiles[0].text
const plain=s=>s.replace(/request\.body === null \? void 0 : \{ body: counted\(request\.body\) \}/,'void 0')
const variants={ plain, plainnoabandon:s=>plain(s).replace(/const abandon = \(\) => void iterator\.return/,'const abandon = () => void (0)?.return') ,
 countednoabandon:s=>s.replace(/const abandon = \(\) => void iterator\.return/,'const abandon = () => void (0)?.return') , counted:s=>s+' '}
const script=variants[process.argv[2]](original); if(script===original) console.log('NOT REPLACED')
const mf=new Miniflare({modules:true,script,r2Buckets:['BUCKET'],compatibilityDate:'2025-01-01',host:'127.0.0.1',port:0})
const url=(await mf.ready).origin; const tus={'Tus-Resumable':'1.0.0'}
const create=async size=>{const r=await fetch(url+'/files',{method:'POST',headers:{...tus,'Upload-Length':String(size)}}); return new URL(r.headers.get('location'),url).href}
const patchH={...tus,'Upload-Offset':'0','Content-Type':'application/offset+octet-stream'}
const size=3<<20; const res={}
const one=async i=>{ const loc=await create(size);  const body=new ReadableStream({start(x){x.enqueue(new Uint8Array(1<<20))}})
 const p=fetch(loc,{method:'PATCH',headers:patchH,body,duplex:'half'}).then(async r=>r.status+await r.text(),e=>e.name); await new Promise(r=>setTimeout(r,300+Math.random()*300))
 const h=await fetch(loc,{method:'HEAD',headers:tus,signal:AbortSignal.timeout(15000)}).catch(e=>({status:e.name,headers:new Headers()})); const k=h.status+' '+h.headers.get('upload-offset')+' '+(await Promise.race([p,new Promise(r=>setTimeout(r,5000,'HANG'))])).slice(0,30); res[k]=(res[k]??0)+1 }
const until=Date.now()+45000
while(Date.now()<until) await Promise.all(Array.from({length:5},(_, i)=>one(i)))
console.log(process.argv[2],res); const e=await (await fetch(url+'/errors')).json(); console.log(e.length)
await mf.dispose()
