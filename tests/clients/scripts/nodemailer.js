// Sends an order mail with Nodemailer and writes what it handed over. Arguments: the facts as JSON.
const fs = require('fs');
const nodemailer = require('nodemailer');
const MailComposer = require('nodemailer/lib/mail-composer');

const facts = JSON.parse(process.argv[2]);
const transport = nodemailer.createTransport({
  host: facts.host,
  port: facts.port,
  secure: facts.implicit,
  requireTLS: true,
  auth: { user: facts.username, pass: facts.password },
  tls: { ca: [fs.readFileSync(facts.certificate)], rejectUnauthorized: true },
});
const composer = new MailComposer({
  from: 'Müller & Söhne <shop@shop.example>',
  to: facts.recipient,
  subject: 'Ihre Bestellung über 12 €',
  text: 'Vielen Dank für Ihre Bestellung.\n.\n..\n',
  html: '<p>Vielen Dank für Ihre Bestellung.</p>\n.\n..\n',
  attachments: [{ filename: 'invoice.pdf', content: Buffer.from('\0\r\n.\r\n\xff'.repeat(1000), 'latin1') }],
});
composer.compile().build((error, message) => {
  if (error) throw error;
  const onTheWire = message.toString('latin1').replace(/\r?\n/g, '\r\n'); // as its DataStream does
  fs.writeFileSync(facts.handed_over, onTheWire, 'latin1');
  transport
    .sendMail({ envelope: { from: 'shop@shop.example', to: facts.recipient }, raw: message })
    .then(() => transport.close(), (failure) => { console.error(failure); process.exit(1); });
});
