// The echo in Node.js, by grpc-js. The argument is codec.proto.
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const codec = grpc.loadPackageDefinition(loader.loadSync(process.argv[2])).kvrpc.v1.CodecService;
const server = new grpc.Server();
server.addService(codec.service, { Encode: (call, answer) => answer(null, { bits: call.request.text }) });
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stderr.write(`127.0.0.1:${port}\n`);
});
