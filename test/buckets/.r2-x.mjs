import { build } from 'esbuild'
import { Miniflare } from 'miniflare'
const {outputFiles}=await build({entryPoints:['/work/main/test/buckets/r2-worker.ts'],bundle:true,format:'esm',platform:'neutral',target:'es2024',write:false})
let script=outputFiles[0].text.replace("return `${error.name}${code}", "return `CAUSE ${error.cause?.stack} / ${error.name}${code}")
if(process.argv[3]) script=eval('(s=>'+process.argv[3]+')')(script)
const mf=new Miniflare({modules:true,script,r2Buckets:['BUCKET'],compatibilityDate:process.argv[2],host:'127.0.0.1',port:0})
const url=(await mf.ready).origin; const tus={'Tus-Resumable':'1.0.0'}
const create=async size=>{const r=await fetch(url+'/files',{method:'POST',headers:{...tus,'Upload-Length':String(size)}}); return new URL(r.headers.get('location'),url).href}
const patchH={...tus,'Upload-Offset':'0','Content-Type':'application/offset+octet-stream'}
const size=3<<20; const res={}
const one=async i=>{ const loc=await create(size);  const body=new ReadableStream({start(x){x.enqueue(new Uint8Array(1<<20))}})
 const p=fetch(loc,{method:'PATCH',headers:patchH,body,duplex:'half'}).then(async r=>r.status+await r.text(),e=>e.name); await new Promise(r=>setTimeout(r,100+Math.random()*300))
 const h=await fetch(loc,{method:'HEAD',headers:tus}); const k=h.status+' '+h.headers.get('upload-offset')+' '+(await p).slice(0,30); res[k]=(res[k]??0)+1 }
for(let r=0;r<8;r++) await Promise.all(Array.from({length:5},(_, i)=>one(i)))
console.log(res); const e=await (await fetch(url+'/errors')).json(); console.log(e.length, e[0]?.slice(0,2500))
await mf.dispose()
