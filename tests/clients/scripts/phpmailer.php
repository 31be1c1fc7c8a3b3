<?php
// Sends an order mail with PHPMailer and writes what it handed over. Arguments: the facts as JSON.
$facts = json_decode($argv[1], true);
foreach (['PHPMailer', 'SMTP', 'Exception'] as $class) {
    require_once '/usr/share/php/libphp-phpmailer/src/' . $class . '.php';
}
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = $facts['host'];
$mail->Port = $facts['port'];
$mail->SMTPSecure = $facts['implicit'] ? 'ssl' : 'tls';
$mail->SMTPAuth = true;
$mail->Username = $facts['username'];
$mail->Password = $facts['password'];
$mail->SMTPOptions = ['ssl' => ['cafile' => $facts['certificate'], 'verify_peer' => true, 'verify_peer_name' => true]];
$mail->CharSet = 'utf-8';
$mail->setFrom('shop@shop.example', 'Müller & Söhne');
$mail->addAddress($facts['recipient'], 'Anna Kunde');
$mail->Subject = 'Ihre Bestellung über 12 €';
$mail->isHTML(true);
$mail->Body = "<p>Vielen Dank für Ihre Bestellung.</p>\n.\n..\n";
$mail->AltBody = "Vielen Dank für Ihre Bestellung.\n.\n..\n";
$mail->addStringAttachment(str_repeat("\0\r\n.\r\n\xff", 1000), 'invoice.pdf', 'base64', 'application/pdf');
$mail->preSend();
file_put_contents($facts['handed_over'], $mail->getSentMIMEMessage() . "\r\n"); // its SMTP class adds an empty line
$mail->postSend();
